"""Small networks built like well-known ones, with random weights: name -> (make, shape of a sample, kind of data)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def unit(inputs: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: nn.Module | None = None) -> nn.Sequential:
    """Convolution, batch norm, activation."""
    conv = nn.Conv2d(inputs, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU() if act is None else act)


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, channels: int, gate: nn.Module) -> None:
        super().__init__()
        self.down, self.up, self.gate = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


class Inverted(nn.Module):
    """An inverted residual with a gate, as MobileNetV2 and V3 and EfficientNet have it."""

    def __init__(self, width: int, act: nn.Module, gate: nn.Module | None) -> None:
        super().__init__()
        wide = 2 * width
        parts = [unit(width, wide, act=act), unit(wide, wide, 3, groups=wide, act=act)]
        parts += [Gate(wide, gate)] if gate is not None else []
        self.body = nn.Sequential(*parts, unit(wide, width, act=nn.Identity()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def inverted(act: nn.Module, gate: nn.Module | None) -> nn.Module:
    return nn.Sequential(
        unit(3, 8, 3, 2, act=act), Inverted(8, act, gate), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )


class ConvNext(nn.Module):
    """Depthwise 7x7, layer norm over channels, GELU, a scale of each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm, self.up, self.down = nn.LayerNorm(8, eps=1e-6), nn.Linear(8, 32), nn.Linear(32, 8)
        self.gamma, self.head = nn.Parameter(torch.full((8,), 0.5)), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.mix(x).permute(0, 2, 3, 1)
        y = self.gamma * self.down(F.gelu(self.up(self.norm(y))))
        return self.head((x + y.permute(0, 3, 1, 2)).mean([-2, -1]))


class RegNet(nn.Module):
    """Grouped bottleneck with a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = unit(3, 8, 3, 2), nn.Sequential(unit(8, 8), unit(8, 8, 3, groups=4), Gate(8, nn.Sigmoid()))
        self.last, self.head = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(F.relu(x + self.last(self.body(x))).mean((2, 3)))


class Fire(nn.Module):
    """SqueezeNet's module and head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 4, 1)
        self.one, self.three, self.head = nn.Conv2d(4, 6, 1), nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(12, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(F.max_pool2d(F.relu(self.stem(x)), 3, 2, ceil_mode=True)))
        x = torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1)
        return torch.flatten(F.adaptive_avg_pool2d(F.relu(self.head(F.dropout(x, 0.5, self.training))), 1), 1)


class Dense(nn.Module):
    """DenseNet: every layer reads all before it; norm before ReLU before convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(6 + 4 * i) for i in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(6 + 4 * i, 4, 3, padding=1) for i in range(3))
        self.shrink, self.head = nn.Conv2d(18, 9, 1), nn.Linear(9, 5)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            parts.append(conv(F.relu(norm(torch.cat(parts, 1)))))
        return self.head(F.avg_pool2d(self.shrink(torch.cat(parts, 1)), 2).mean((2, 3)))


class Shuffle(nn.Module):
    """ShuffleNetV2: half the channels pass, then both halves are shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = unit(3, 8, 3, 2), nn.Linear(8, 5)
        self.body = nn.Sequential(unit(4, 4), nn.Conv2d(4, 4, 3, padding=1, groups=4), unit(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.stem(x).chunk(2, dim=1)
        x = torch.cat((one, self.body(two)), dim=1)
        n, c, h, w = x.size()
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return self.head(x.mean([2, 3]))


class UNet(nn.Module):
    """Down, up by transposed convolutions, with skips; and a bilinear way up."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = unit(3, 6, 3), unit(6, 8, 3)
        self.up, self.join, self.out = nn.ConvTranspose2d(8, 6, 2, 2), unit(12, 6, 3), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.one(x)
        deep = self.two(F.max_pool2d(first, 2))
        wide = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        return torch.sigmoid(self.out(self.join(torch.cat([first, self.up(deep)], 1))) + wide[:, :2])


class Yolo(nn.Module):
    """SiLU, C2f-like split, SPPF, nearest upsampling, and two heads."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.SiLU()
        self.stem, self.split, self.inner = unit(3, 8, 3, 2, act=act), unit(8, 8, act=act), unit(4, 4, 3, act=act)
        self.merge, self.down, self.pool = unit(12, 8, act=act), unit(8, 8, 3, 2, act=act), unit(32, 8, act=act)
        self.small, self.large = nn.Conv2d(16, 6, 1), nn.Conv2d(8, 6, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        one, two = self.split(x).split((4, 4), 1)
        fine = self.merge(torch.cat([one, two, two + self.inner(two)], 1))
        deep = self.down(fine)
        a = F.max_pool2d(deep, 5, 1, 2)
        b = F.max_pool2d(a, 5, 1, 2)
        deep = self.pool(torch.cat([deep, a, b, F.max_pool2d(b, 5, 1, 2)], 1))
        small = self.small(torch.cat([F.interpolate(deep, scale_factor=2, mode="nearest"), fine], 1))
        return small.sigmoid().flatten(2), self.large(deep).sigmoid().flatten(2)


class Attention(nn.Module):
    """As timm writes it: q, k and v in one layer, samples moved to the second axis and back."""

    def __init__(self, width: int, heads: int, fused: bool, causal: bool = False) -> None:
        super().__init__()
        self.qkv, self.out, self.heads, self.fused, self.causal = (
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
            heads,
            fused,
            causal,
        )
        self.register_buffer("kept", torch.tril(torch.ones(64, 64)).view(1, 1, 64, 64))

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        else:
            scores = (q @ k.transpose(-2, -1)) * (c // self.heads) ** -0.5
            if self.causal:
                scores = scores.masked_fill(self.kept[:, :, :t, :t] == 0, float("-inf"))
            y = scores.softmax(dim=-1) @ v
        return self.out(y.transpose(1, 2).reshape(n, t, c))


class Block(nn.Module):
    """A transformer block with the norm before."""

    def __init__(self, width: int, attention: nn.Module, act: str = "none") -> None:
        super().__init__()
        self.one, self.two, self.attention = nn.LayerNorm(width), nn.LayerNorm(width), attention
        self.up, self.down, self.act = nn.Linear(width, 2 * width), nn.Linear(2 * width, width), nn.GELU(act)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.one(x))
        return x + self.down(self.act(self.up(self.two(x))))


class Vit(nn.Module):
    """Patches, a class token (DeiT: a second one), learned positions, blocks."""

    def __init__(self, tokens: int, fused: bool) -> None:
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 12, 4, 4), nn.Parameter(torch.randn(1, tokens, 12))
        self.place, self.head = nn.Parameter(torch.randn(1, 4 + tokens, 12)), nn.Linear(12, 5)
        self.blocks, self.norm, self.tokens = (
            nn.Sequential(*(Block(12, Attention(12, 3, fused)) for _ in range(2))),
            nn.LayerNorm(12),
            tokens,
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(x.shape[0], -1, -1), x), dim=1) + self.place
        x = self.norm(self.blocks(x))
        return self.head(x[:, : self.tokens].mean(1))


class Bert(nn.Module):
    """Token and position tables, nn.TransformerEncoderLayer (norm behind), a pooler with tanh; a constant mask added."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(30, 12), nn.Embedding(16, 12)
        self.norm = nn.LayerNorm(12)
        layer = nn.TransformerEncoderLayer(12, 3, 24, 0.1, "gelu", batch_first=True)
        self.encoder, self.pooler, self.head = (
            nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
            nn.Linear(12, 12),
            nn.Linear(12, 2),
        )

    def forward(self, ids: Tensor) -> Tensor:
        x = self.norm(self.words(ids) + self.places(torch.arange(ids.shape[1])))
        return self.head(torch.tanh(self.pooler(self.encoder(x)[:, 0])))


class Gpt(nn.Module):
    """GPT-2: causal attention written out, tanh GELU, the head shares the table of words."""

    def __init__(self, fused: bool = False) -> None:
        super().__init__()
        self.words, self.places, self.norm = nn.Embedding(30, 12), nn.Embedding(16, 12), nn.LayerNorm(12)
        self.blocks = nn.ModuleList(Block(12, Attention(12, 2, fused, causal=True), "tanh") for _ in range(2))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids) + self.places(torch.arange(ids.size(1)).unsqueeze(0))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.words.weight)


class Swin(nn.Module):
    """Attention in shifted windows with a table of relative positions and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.qkv, self.out, self.head = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 5)
        self.table = nn.Parameter(torch.randn(9, 2))
        at = torch.stack(torch.meshgrid(torch.arange(2), torch.arange(2), indexing="ij")).flatten(1)
        apart = (at[:, :, None] - at[:, None]).permute(1, 2, 0) + 1
        self.register_buffer("apart", apart[..., 0] * 3 + apart[..., 1])
        self.register_buffer("mask", torch.where(torch.rand(4, 4, 4) < 0.3, -100.0, 0.0))
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        y = torch.roll(self.norm(x), (-1, -1), (1, 2))
        y = y.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(n, 4, 4, c)
        q, k, v = self.qkv(y).reshape(n, 4, 4, 3, 2, c // 2).permute(3, 0, 1, 4, 2, 5).unbind(0)
        bias = self.table[self.apart.view(-1)].view(4, 4, 2).permute(2, 0, 1)
        scores = q @ k.transpose(-2, -1) * 0.5 + bias.unsqueeze(0).unsqueeze(0) + self.mask[None, :, None]
        y = (F.softmax(scores, -1) @ v).transpose(2, 3).reshape(n, 2, 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return self.head((x + torch.roll(self.out(y), (1, 1), (1, 2))).mean((1, 2)))


class Mixer(nn.Module):
    """MLP-Mixer: a network along the tokens, then one along the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.one, self.two, self.head = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.LayerNorm(8), nn.Linear(8, 5)
        self.tokens = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 4))
        self.channels = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.one(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.two(x))
        return self.head(x.mean(dim=1))


class PointNet(nn.Module):
    """A transform of the points that the points themselves yield, shared layers, the largest over points."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.turn = nn.Conv1d(3, 8, 1), nn.Linear(8, 9)
        self.one, self.norm, self.two, self.head = nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8), nn.Conv1d(8, 12, 1), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        turn = self.turn(torch.max(F.relu(self.look(x)), 2)[0]).view(-1, 3, 3) + torch.eye(3)
        x = torch.bmm(x.transpose(2, 1), turn).transpose(2, 1)
        x = F.relu(self.two(F.relu(self.norm(self.one(x)))))
        return F.log_softmax(self.head(x.max(dim=2)[0]), dim=1)


class Conformer(nn.Module):
    """Half a feed-forward, attention, a convolution with GLU, half a feed-forward, a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(5))
        self.first, self.last = (nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 8)) for _ in range(2))
        self.attention, self.batch = nn.MultiheadAttention(8, 2, batch_first=True), nn.BatchNorm1d(8)
        self.up, self.depth, self.down = nn.Conv1d(8, 16, 1), nn.Conv1d(8, 8, 3, padding=1, groups=8), nn.Conv1d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.first(self.norms[0](x))
        y = self.norms[1](x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        y = F.glu(self.up(self.norms[2](x).transpose(1, 2)), dim=1)
        x = x + self.down(F.silu(self.batch(self.depth(y)))).transpose(1, 2)
        return self.norms[4](x + 0.5 * self.last(self.norms[3](x)))


IMAGE = (3, 8, 8)
ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], Any]] = {
    "MobileNetV2": (lambda: inverted(nn.ReLU6(), None), IMAGE, float),
    "MobileNetV3": (lambda: inverted(nn.Hardswish(), nn.Hardsigmoid()), IMAGE, float),
    "EfficientNet": (lambda: inverted(nn.SiLU(), nn.Sigmoid()), IMAGE, float),
    "ConvNeXt": (ConvNext, IMAGE, float),
    "RegNetY": (RegNet, IMAGE, float),
    "SqueezeNet": (Fire, (3, 12, 12), float),
    "DenseNet": (Dense, IMAGE, float),
    "ShuffleNetV2": (Shuffle, IMAGE, float),
    "U-Net": (UNet, IMAGE, float),
    "YOLO": (Yolo, IMAGE, float),
    "ViT": (lambda: Vit(1, False), IMAGE, float),
    "DeiT": (lambda: Vit(2, True), IMAGE, float),
    "BERT": (Bert, (6,), int),
    "GPT-2": (Gpt, (6,), int),
    "GPT-2, fused": (lambda: Gpt(True), (6,), int),
    "Swin": (Swin, IMAGE, float),
    "MLP-Mixer": (Mixer, IMAGE, float),
    "PointNet": (PointNet, (3, 10), float),
    "Conformer": (Conformer, (6, 8), float),
}
