"""Networks in which every neuron sends at most once: neuron by neuron, many samples side by side.

`plan` says which networks these are and what the kernels obey, `kernels` takes a block of samples through all populations,
`rowwise` has what they do to whole rows of samples, `tiles` multiplies rows by shared weights, `run` cuts samples into blocks and
counts. Integers, counts and messages are those of the other way (`engine.event`), which goes message by message.
"""
