"""What faults do to a placed network: wrong weights in memory, a run step by step with what strikes on the way, lost packets."""
