"""The main job below the command line: a network, data and a chip -> a Study. `study` is its public name."""
