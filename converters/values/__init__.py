"""Float graphs that compute with values (functions, products, norms, attention) as networks of `neuro.Value` populations."""
