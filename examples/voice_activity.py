"""Voice activity on an emulated chip, with a network that thousands use: `python examples/voice_activity.py SILERO.onnx`.

The file is that of silero-vad for 16 kHz (MIT licence): frames of 512 samples, an LSTM, its state kept from frame to frame. The
spectrum stays with the host; encoder and LSTM go to the chip. It is calibrated on recordings of Speech Commands, tried on others:
`--data FOLDER` has scv2_val.npz and scv2_test.npz. See docs/streams.md.
"""

import argparse
from pathlib import Path

import numpy as np

import converters
import neuro
from converters.evaluation import outputs
from converters.fronts import split_front
from neuro.serving.duty import duty
from neuro.serving.streams import pace
from neuro.serving.targets import machine_target

FRAME, BEFORE, RATE_HZ = 512, 64, 16_000 / 512  # samples of a frame, samples of the last one in front of it
SPECTRUM = "model.stft_9"  # the layer with the magnitudes, (1, 129 frequencies, 4 times)
HOUR_S = 3600


def framed(audio):
    """Audio (samples,) as frames (frames, 576)."""
    count = len(audio) // FRAME
    padded = np.concatenate([np.zeros(BEFORE, np.float32), audio[: count * FRAME]])
    return np.stack([padded[i * FRAME : i * FRAME + BEFORE + FRAME] for i in range(count)]).astype(np.float32)


def streams(path, count, clips, seed):
    """Streams of so many clips, with silence or noise between some of them: (count, frames, 576)."""
    with np.load(path) as data:
        audio, label = data["audio"], data["label"]
    rng, made = np.random.default_rng(seed), []
    for _ in range(count):
        parts = []
        for clip in rng.choice(len(label), clips, replace=False):
            parts.append(audio[clip])
            if rng.random() < 0.5:
                parts.append(audio[rng.choice(np.flatnonzero(label == 10))])
        made.append(framed(np.concatenate(parts).astype(np.float32) / 32768)[: clips * 31])
    return np.stack(made)


def spectra(front, x):
    """What the host computes: the magnitudes of every frame."""
    flat = outputs(front, x.reshape(-1, x.shape[-1]))[front.output.name]
    return flat.reshape(*x.shape[:2], *flat.shape[1:])


def voice_network(model, known):
    """The whole network, the host's part and the chip's part, as graphs. The host brings every frequency to the same range."""
    graph = converters.read_onnx(model, shape=(BEFORE + FRAME,), fixed={"sr": 16000}, state=True)
    front, _ = split_front(graph, SPECTRUM)
    sizes = 1.25 * spectra(front, known).max(axis=(0, 1, 4))[..., None]
    return graph, *split_front(graph, SPECTRUM, sizes)


def converted(front, rest, known, code="graded", chip="loihi2"):
    """The chip's part, calibrated on streams, in integers as wide as the chip has them."""
    if chip == "spinnaker2":
        wide = {"weight_bits": 12, "potential_bits": 29, "value_bits": 14}
    elif code == "graded":  # some weights in two synapses of 8 bits
        wide = {"weight_bits": "auto", "value_bits": 11, "headroom": 1.25}
    else:  # changes need more room in potentials, which then hold no finer weights
        wide = {"value_bits": 11}
    return converters.convert(rest, spectra(front, known), code=code, **wide)


def main():
    """Convert, compare decisions, and say what an hour of listening costs."""
    shared = Path(__file__).parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=shared / "wild" / "silero_vad_16k.onnx")
    parser.add_argument("--data", type=Path, default=shared / "speech_commands")
    parser.add_argument("--streams", type=int, default=24)
    given = parser.parse_args()
    known = streams(given.data / "scv2_val.npz", given.streams, 5, seed=0)
    graph, front, rest = voice_network(given.model, known)
    new = streams(given.data / "scv2_test.npz", given.streams, 5, seed=1)
    truth = outputs(graph, new)[graph.output.name][..., 0]
    x = spectra(front, new)
    for chip, code in (("spinnaker2", "graded"), ("loihi2", "graded"), ("loihi2", "delta")):
        made = converted(front, rest, known, code, chip)
        said = made.answer(made.quantised(x)).reshape(truth.shape)
        same = ((said > 0.5) == (truth > 0.5)).mean()
        share = f"{100 * (truth > 0.5).mean():.0f} % speech"
        print(f"{chip}, {code}: {100 * same:.2f} % of {truth.size:,} decisions are the float network's; {share}")
        placement = neuro.place(made.network, neuro.load_chip(chip))
        found = pace(neuro.emulate(placement, x[:2]))
        print(f"  {found.synops:,.0f} synops, {found.messages:,.0f} messages a frame; {placement.cores_used} cores")
        busy = f"busy {100 * found.busy(RATE_HZ):.2f} %"
        print(f"  {1e6 * found.latency_s:.0f} us to the answer, at most {found.most_per_s:,.0f} frames/s, {busy}")
        work = found.dynamic_j * RATE_HZ * HOUR_S
        print(f"  an hour: {1e3 * work:.1f} mJ of work, {work + (found.always_w or 0) * HOUR_S:,.0f} J with what is always on")
    workload = neuro.weigh(rest)
    print(f"the host's spectrum: {neuro.weigh(front).macs:,} multiply-accumulates a frame; the rest {workload.macs:,}")
    for name in ("stm32l4r5", "stm32u575", "gap9"):
        machine = neuro.load_machine(name)
        one = duty(machine_target(workload, machine, batches=1), RATE_HZ)
        work = neuro.cost(workload, machine).dynamic_pj * 1e-12 * RATE_HZ * HOUR_S
        least, most = (watts * HOUR_S for watts in one.power_w) if one.power_w else (None, None)
        waiting = "waiting is not public" if least is None else f"{least:,.1f} to {most:,.1f} J with waiting"
        print(f"{name}: an hour is {work:.2f} J of work, {waiting}, busy {100 * one.busy:.1f} %")


if __name__ == "__main__":
    main()
