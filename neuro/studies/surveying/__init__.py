"""A survey's workloads as spikes: public shapes with random weights, each population computed and counted, then given up."""
