"""torch networks, node by node: recording a forward pass, and what each function and module becomes. The door is `frontend`."""
