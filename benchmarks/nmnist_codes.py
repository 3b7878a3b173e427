"""The network of examples/event_camera.py on events in three codes: right answers and work for training recordings.

python -m benchmarks.nmnist_codes --recordings nmnist_train.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

import converters
import neuro
from benchmarks.train_nmnist import SIZE, STEP_US, STEPS, event_cnn
from neuro.events import driven_by_events, read_recordings, stacked

USED = 200  # recordings to calibrate with, and as many others to run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True)
    found = read_recordings(parser.parse_args().recordings, size=(SIZE, SIZE))
    model = event_cnn().eval()
    model.load_state_dict(load_file(Path(__file__).parent.parent / "examples" / "nmnist_cnn.safetensors"))
    spikes = stacked(found.recordings[: 2 * USED], step_us=STEP_US, steps=STEPS)
    shares = spikes[:USED].mean(axis=1).astype(np.float32)
    shares[0, 0, 0, 0] = 1.0  # the largest input: a spike at every step
    print("code    right    synops a recording")
    for code in ("rate", "signed", "wait"):
        network = driven_by_events(converters.convert(model, shares, code=code, timesteps=STEPS, input="spikes").network)
        run = neuro.run(network, spikes[USED:], timesteps=STEPS)
        right = np.mean(run.predictions == found.labels[USED : 2 * USED])
        print(f"{code:6} {right:6.1%} {run.synops / USED:12,.0f}", flush=True)


if __name__ == "__main__":
    main()
