"""Writes the recordings beside this script with other packages' writers, and events.npz, what went into them; see README.md.

python tests/data/events/record.py   (in the environment that README.md names)
"""

from pathlib import Path

import dv_processing as dv
import numpy as np
from expelliarmus import Wizard

HERE = Path(__file__).parent
rng = np.random.default_rng(0)
events = np.zeros(300, [("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "u1")])
events["t"] = 1_000_000 + np.cumsum(rng.choice([0, 1, 7, 900, 60_000], 300))
events["x"], events["y"], events["p"] = rng.integers(0, 640, 300), rng.integers(0, 480, 300), rng.integers(0, 2, 300)
runs = slice(100, 140)  # neighbours in a row at one time, which EVT 3.0 writes as vectors
events["t"][runs], events["y"][runs], events["p"][runs] = events["t"][100], 77, 1
events["x"][runs] = 200 + np.sort(rng.choice(60, 40, replace=False))
events = events[np.argsort(events["t"], kind="stable")]
short = events.copy()  # expelliarmus writes the high part of the time of EVT 3.0 once: these times share it
short["t"] = 300 * 4096 + np.sort(rng.integers(0, 4096, 300))
arrays = {name: events[name] for name in events.dtype.names}
np.savez(HERE / "events.npz", **arrays, short_t=short["t"])
for encoding, name, written in (
    ("dat", "wizard.dat", events),
    ("evt2", "wizard_evt2.raw", events),
    ("evt3", "wizard_evt3.raw", short),
):
    Wizard(encoding=encoding).save(fpath=HERE / name, arr=written)
    assert np.array_equal(Wizard(encoding=encoding, fpath=HERE / name).read()["t"], written["t"])
for compression in ("NONE", "LZ4"):
    config = dv.io.MonoCameraWriter.EventOnlyConfig("DVXplorer_X", (640, 480), getattr(dv.CompressionType, compression))
    writer = dv.io.MonoCameraWriter(str(HERE / f"dv_{compression.lower()}.aedat4"), config)
    for part in np.array_split(events, 3):
        store = dv.EventStore()
        for event in part:
            store.push_back(int(event["t"]), int(event["x"]), int(event["y"]), bool(event["p"]))
        writer.writeEvents(store)
    del writer
