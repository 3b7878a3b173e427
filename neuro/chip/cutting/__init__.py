"""Populations -> slices that fit a core: what the chip can do, what slices need, where the messages of each neuron go."""
