"""Small torch modules made of one function, and networks that hold them."""

from torch import nn


class Module(nn.Module):
    """A module whose forward is a function, with some modules it may use."""

    def __init__(self, function, **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.function(self, x)


def after(layer: nn.Module) -> nn.Module:
    """A layer behind a convolution, inside a nested module whose path the message must name."""
    return nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Sequential(nn.ReLU(), layer))
