"""What to do about an operation that has no spiking form, by words in its name."""

_REMEDIES = {
    ("leaky", "prelu", "rrelu"): "Use ReLU in its place (a negative slope has no spikes) and train again",
    ("gelu", "silu", "swish", "mish", "elu", "selu", "celu", "softplus", "hardswish", "hardsigmoid", "logsigmoid"): (
        "Use ReLU or ReLU6 in its place and train again"
    ),
    ("sigmoid", "tanh"): "Use Hardtanh(0, 1) or ReLU in its place; leave a final sigmoid to the host",
    ("softmax", "softmin", "logsumexp"): "Return the logits: a final softmax changes no decision and belongs on the host",
    ("norm",): "Use BatchNorm, whose statistics are constants, and train again",
    (
        "attention",
        "transformer",
        "matmul",
        "bmm",
        "einsum",
    ): "Use convolutions: a product of two activations has no spiking form here",
    ("gru", "lstm", "rnn"): "Use nn.LSTM, nn.GRU or nn.RNN, or cells of them, as modules",
    ("embedding",): "Feed the embedded vectors as input",
}


_UNKNOWN = {  # of what no network has, of those that compute with values neither
    ("norm",): "Use a batch, layer, group or instance norm, or torch.linalg.vector_norm",
    ("attention", "transformer"): "Use nn.MultiheadAttention, F.scaled_dot_product_attention, or matmul and softmax",
    ("gru", "lstm", "rnn"): "Use nn.LSTM, nn.GRU or nn.RNN, or cells of them, as modules",
    ("sort", "topk", "nonzero", "nms", "unique"): "Leave it to the host: return what it reads",
    ("fft", "stft"): "Leave it to the host, in front of the network, or write it as a product with a constant matrix",
}


def unknown(name: str) -> str:
    """What to do about an operation that is not known at all."""
    low = name.lower()
    otherwise = "Write it with linear layers, convolutions, pools, sums, products, softmax and functions of each value"
    return next((text for words, text in _UNKNOWN.items() if any(word in low for word in words)), otherwise)


def remedy(name: str, otherwise: str) -> str:
    """What to do about an operation that has no spiking form; `otherwise`: where its name says nothing."""
    low = name.lower()
    return next((text for words, text in _REMEDIES.items() if any(word in low for word in words)), otherwise)
