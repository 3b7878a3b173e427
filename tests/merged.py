"""Modules in which samples share their axis with windows, heads or patches, for tests."""

import torch
import torch.nn.functional as F
from torch import nn

WIDTH, HEADS = 8, 2


class Windows(nn.Module):
    """Shifted windows as Swin has them: samples and windows share an axis, the mask takes it apart in between."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.bias = nn.Parameter(torch.randn(HEADS, 4, 4))
        self.register_buffer("mask", torch.where(torch.rand(4, 4, 4) < 0.3, -100.0, 0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, h, w, c = x.shape
        y = torch.roll(self.norm(x), (-1, -1), (1, 2))
        y = y.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, 4, c)
        qkv = self.qkv(y).reshape(y.size(0), y.size(1), 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = (q * 0.5).matmul(k.transpose(-2, -1)) + self.bias.unsqueeze(0)
        scores = scores.view(y.size(0) // 4, 4, HEADS, 4, 4) + self.mask.unsqueeze(1).unsqueeze(0)
        shares = F.dropout(F.softmax(scores.view(-1, HEADS, 4, 4), dim=-1), 0.1, self.training)
        y = self.out((shares @ v).transpose(1, 2).reshape(y.size(0), y.size(1), c))
        y = y.view(n, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return (x + torch.roll(y, (1, 1), (1, 2))).mean((1, 2))


class Heads(nn.Module):
    """Attention by products of batches: samples and heads share an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.parts, self.act = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3)), nn.Softmax(dim=-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, c = x.shape
        q, k, v = (
            part(x).view(n, tokens, HEADS, c // HEADS).transpose(1, 2).reshape(n * HEADS, tokens, -1) for part in self.parts
        )
        y = torch.bmm(self.act(torch.bmm(q, k.transpose(1, 2)) / 2), v)
        return y.view(n, HEADS, tokens, c // HEADS).transpose(1, 2).reshape(n, tokens, c).mean(1)


class Patches(nn.Module):
    """A transformer layer along the same place of every patch, as in MobileViT."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 12, batch_first=True, norm_first=True, dropout=0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, h, w, c = x.shape
        y = x.reshape(n, h // 2, 2, w // 2, 2, c).permute(0, 2, 4, 1, 3, 5).reshape(n * 4, -1, c)
        return self.layer(y).reshape(n, 2, 2, h // 2, w // 2, c).permute(0, 3, 1, 4, 2, 5).reshape(n, h, w, c).mean((1, 2))


class Parts(nn.Module):
    """All that may be done between a view and the one that takes it apart: parts, slices, sums, functions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.gate = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH), nn.Parameter(torch.randn(4, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, h, w, c = x.shape
        y = x.flatten(0, 1)
        value, gate = self.one(y).chunk(2, dim=-1)
        y = value * torch.sigmoid(gate) + self.gate
        first, *_ = y.reshape(n * h, w, 2, c // 2).permute(2, 0, 1, 3).unbind(0)
        y = F.gelu(self.two(y[:, 1:]).mean(1, keepdim=True)) - first.amax(dim=(1, 2)).reshape(-1, 1, 1)
        return F.layer_norm(y, (c,)).unflatten(0, (n, h)).squeeze(2).sum(1)


MODELS = [(Windows, (4, 4, WIDTH)), (Heads, (6, WIDTH)), (Patches, (4, 4, WIDTH)), (Parts, (3, 4, WIDTH))]
