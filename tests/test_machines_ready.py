"""Ready-made workloads against torch's own counter, on modules built here on the meta device."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from neuro.errors import MachineError
from neuro.machines.ready import kws_scaled, list_workloads, ready_workload


def cb(cin, cout, k=1, s=1, g=1, p=None):
    k = (k, k) if isinstance(k, int) else k
    pad = tuple((n - 1) // 2 for n in k) if p is None else p
    return nn.Sequential(nn.Conv2d(cin, cout, k, s, pad, groups=g, bias=False), nn.BatchNorm2d(cout))


class Residual(nn.Module):
    def __init__(self, body, shortcut=None):
        super().__init__()
        self.body, self.shortcut = body, shortcut or nn.Identity()

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def head(channels, classes):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


def resnet50():
    layers, cin = [cb(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for i, (w, n) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for b in range(n):
            s = 2 if b == 0 and i else 1
            body = nn.Sequential(cb(cin, w), cb(w, w, 3, s), cb(w, 4 * w))
            layers.append(Residual(body, cb(cin, 4 * w, 1, s) if b == 0 else None))
            cin = 4 * w
    return nn.Sequential(*layers, *head(cin, 1000)), (3, 224, 224)


def resnet8():
    layers, cin = [cb(3, 16, 3)], 16
    for w in (16, 32, 64):
        s = 1 if w == 16 else 2
        layers.append(Residual(nn.Sequential(cb(cin, w, 3, s), cb(w, w, 3)), cb(cin, w, 1, 2) if s == 2 else None))
        cin = w
    return nn.Sequential(*layers, *head(64, 10)), (3, 32, 32)


def mobilenet(side, width, classes):
    c = [int(n * width) for n in (32, 64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)]
    layers = [cb(3, c[0], 3, 2)]
    for a, b, s in zip(c, c[1:], (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), strict=False):
        layers += [cb(a, a, 3, s, a), cb(a, b)]
    return nn.Sequential(*layers, *head(c[-1], classes)), (3, side, side)


def ds_cnn():
    layers = [cb(1, 64, (10, 4), 2, p=(5, 1))]
    for _ in range(4):
        layers += [cb(64, 64, 3, 1, 64), cb(64, 64)]
    return nn.Sequential(*layers, *head(64, 12)), (1, 49, 10)


def mlp(*sizes):
    return nn.Sequential(*(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))), (sizes[0],)


class SqueezeExcite(nn.Module):
    def __init__(self, wide, squeeze):
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, squeeze, 1), nn.Conv2d(squeeze, wide, 1))

    def forward(self, x):
        return x * self.gate(x)


def efficientnet_b7():
    table = ((1, 3, 1, 64, 32, 4), (6, 3, 2, 32, 48, 7), (6, 5, 2, 48, 80, 7), (6, 3, 2, 80, 160, 10))
    table += ((6, 5, 1, 160, 224, 10), (6, 5, 2, 224, 384, 13), (6, 3, 1, 384, 640, 4))
    layers = [cb(3, 64, 3, 2)]
    for e, k, stride, cin, cout, n in table:
        for b in range(n):
            s, wide = stride if b == 0 else 1, cin * e
            body = [cb(cin, wide)] if e > 1 else []
            body += [cb(wide, wide, k, s, wide), SqueezeExcite(wide, cin // 4), cb(wide, cout)]
            layers.append(Residual(nn.Sequential(*body)) if s == 1 and cin == cout else nn.Sequential(*body))
            cin = cout
    return nn.Sequential(*layers, cb(640, 2560), *head(2560, 1000)), (3, 600, 600)


class C3(nn.Module):
    def __init__(self, cin, cout, n, shortcut=True):
        super().__init__()
        h = cout // 2
        blocks = [nn.Sequential(cb(h, h), cb(h, h, 3)) for _ in range(n)]
        self.deep = nn.Sequential(cb(cin, h), *(Residual(b) if shortcut else b for b in blocks))
        self.flat, self.join = cb(cin, h), cb(cout, cout)

    def forward(self, x):
        return self.join(torch.cat((self.deep(x), self.flat(x)), 1))


class Yolov5l(nn.Module):
    def __init__(self):
        super().__init__()
        self.p3 = nn.Sequential(
            cb(3, 64, 6, 2, p=(2, 2)), cb(64, 128, 3, 2), C3(128, 128, 3), cb(128, 256, 3, 2), C3(256, 256, 6)
        )
        self.p4 = nn.Sequential(cb(256, 512, 3, 2), C3(512, 512, 9))
        self.p5 = nn.Sequential(cb(512, 1024, 3, 2), C3(1024, 1024, 3), cb(1024, 512))
        self.sppf, self.c10, self.c13 = cb(2048, 1024), cb(1024, 512), C3(1024, 512, 3, False)
        self.c14, self.c17, self.c18 = cb(512, 256), C3(512, 256, 3, False), cb(256, 256, 3, 2)
        self.c20, self.c21, self.c23 = C3(512, 512, 3, False), cb(512, 512, 3, 2), C3(1024, 1024, 3, False)
        self.detect = nn.ModuleList(nn.Conv2d(c, 255, 1) for c in (256, 512, 1024))
        self.pool, self.up = nn.MaxPool2d(5, 1, 2), nn.Upsample(scale_factor=2)

    def forward(self, x):
        p3 = self.p3(x)
        p4 = self.p4(p3)
        y = self.p5(p4)
        a = self.pool(y)
        b = self.pool(a)
        top = self.c10(self.sppf(torch.cat((y, a, b, self.pool(b)), 1)))
        mid = self.c14(self.c13(torch.cat((self.up(top), p4), 1)))
        d3 = self.c17(torch.cat((self.up(mid), p3), 1))
        d4 = self.c20(torch.cat((self.c18(d3), mid), 1))
        d5 = self.c23(torch.cat((self.c21(d4), top), 1))
        return [f(d) for f, d in zip(self.detect, (d3, d4, d5), strict=True)]


class Block(nn.Module):
    """A transformer block on new tokens; keys and values of `context` tokens (its own, or kept ones)."""

    def __init__(self, width, heads, context):
        super().__init__()
        self.heads, self.context = heads, context
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x):
        rows, width = x.shape
        q, k, _ = (t.view(rows, self.heads, -1).transpose(0, 1) for t in self.qkv(self.norms[0](x)).chunk(3, -1))
        if self.context > rows:
            k = k.new_empty(self.heads, self.context, width // self.heads)
        mixed = torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(-1), torch.empty_like(k))
        x = x + self.out(mixed.transpose(0, 1).reshape(rows, width))
        return x + self.down(self.up(self.norms[1](x)))


class Transformer(nn.Module):
    def __init__(self, layers, width, heads, tables, rows, context, last):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, width) for n in tables)
        self.blocks = nn.Sequential(*(Block(width, heads, context) for _ in range(layers)))
        self.norm, self.rows, self.last = nn.LayerNorm(width), rows, last
        self.pooler = nn.Linear(width, width) if last == "pooler" else nn.Identity()

    def forward(self, _):
        index = torch.zeros(self.rows, dtype=torch.long, device="meta")
        x = self.blocks(sum(table(index) for table in self.tables))
        return self.pooler(x[:1]) if self.last == "pooler" else self.norm(x[-1:]) @ self.tables[0].weight.T


def bert(tokens):
    return Transformer(24, 1024, 16, (30522, 512, 2), tokens, tokens, "pooler"), (1,)


def gpt3(rows):
    return Transformer(96, 12288, 96, (50257, 2048), rows, 2048, "logits"), (1,)


TORCH = {
    "resnet50": resnet50,
    "efficientnet-b7": efficientnet_b7,
    "bert-large": lambda: bert(384),
    "bert-large-128": lambda: bert(128),
    "gpt3-prefill": lambda: gpt3(2048),
    "gpt3-decode": lambda: gpt3(1),
    "yolov5l": lambda: (Yolov5l(), (3, 640, 640)),
    "mobilenet-v1": lambda: mobilenet(224, 1.0, 1000),
    "ds-cnn": ds_cnn,
    "mobilenet-v1-vww": lambda: mobilenet(96, 0.25, 2),
    "resnet8": resnet8,
    "autoencoder": lambda: mlp(640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640),
    "kws-mlp": lambda: mlp(390, 256, 256, 29),
    "finn-kws-mlp": lambda: mlp(490, 256, 256, 256, 12),
}


def test_every_ready_workload_has_a_torch_twin() -> None:
    assert set(TORCH) == set(list_workloads())


@pytest.mark.peer("torch.utils.flop_counter")
@pytest.mark.parametrize("name", sorted(TORCH))
def test_counts_equal_torch(name: str) -> None:
    with torch.device("meta"):
        net, shape = TORCH[name]()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            net.eval()(torch.empty(1, *shape))
    workload = ready_workload(name)
    assert counter.get_total_flops() == 2 * workload.macs
    assert sum(p.numel() for p in net.parameters()) == workload.parameters


def test_counts_equal_the_published_ones() -> None:
    assert ready_workload("resnet50").macs == 4_089_184_256
    assert ready_workload("resnet50").parameters == 25_557_032
    assert ready_workload("ds-cnn").macs == 2_656_768
    assert ready_workload("kws-mlp").macs == 172_800
    assert [kws_scaled(c).macs for c in (0, 1, 2, 10)] == [172_800, 828_160, 1_549_056, 7_316_224]
    assert 2 * ready_workload("bert-large-128").macs == pytest.approx(78.9e9, rel=1e-3)


def test_unknown_workload_is_explained() -> None:
    with pytest.raises(MachineError, match="resnet50"):
        ready_workload("resnet51")
