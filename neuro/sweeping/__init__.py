"""Many settings of one network: measured by replaceable workers, kept in a journal, told as a Pareto front."""
