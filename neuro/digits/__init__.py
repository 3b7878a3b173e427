"""The demonstration task: 1,797 handwritten digits, and a small network trained on them.

`data` knows the images, `model` the network and its training (the only file here that imports torch).
"""
