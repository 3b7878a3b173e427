"""Samples as a folder of files, one folder a class: `listing` finds and names them, `images` and `sounds` read them."""
