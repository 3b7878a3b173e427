"""Many settings of one network: measured by replaceable workers, kept in a journal, shown as a Pareto front."""
