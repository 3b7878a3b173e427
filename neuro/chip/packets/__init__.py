"""The packet network, packet by packet: when each is sent, where it waits, when the step is over."""
