"""What a Network does, spike for spike: one definition (reference) and engines that equal it bit for bit."""
