"""What a Network costs on an emulated chip: limits, mapping, packets, prices. Counts first, prices later."""
