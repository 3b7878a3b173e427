"""Feed damaged files to every reader: python tests/fuzz.py [--minutes 10] [--reader NAME ...] [--seed 0] [--keep] [--json].

Each reader gets its share of the time. An input is a good file, or one from tests/corpus, with a few mutations: bytes, numbers,
words, pieces of other files, also inside the description of a safetensors file and the members of an archive. An outcome that was
not seen before (another type of error, another fact) keeps its input, and later inputs are made from it too. What counts as
failure: any exception but a NeuroError, the end of the process, or more than a second of processor time. --keep puts the inputs
of new outcomes into tests/corpus, which the suite replays.
"""

import argparse
import hashlib
import io
import json
import math
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # a command, run from anywhere

from neuro.compiling import told
from neuro.errors import NeuroError
from tests.hostile import READERS, with_header, write_good, zipped

CORPUS = Path(__file__).parent / "corpus"
KEPT_BYTES = 14_000  # of a reader's corpus
LONGEST = 200_000  # bytes of an input
COMPILING_S = 60.0
MEMORY = 3 << 30  # of address space that a reader may take beyond what the libraries have
WORDS = [
    word.encode("latin-1")
    for word in (
        *(
            "nan",
            "inf",
            "-1",
            "0",
            "1e999",
            "true",
            "null",
            "{}",
            "[]",
            '""',
            "[",
            "{",
            '"',
            ",",
            ":",
            "\n",
            "\0",
            "'",
            "=",
            "../",
        ),
        *(
            "99999999999999999999",
            "-9223372036854775809",
            "2147483648",
            "0.5",
            "4294967295",
            "\xff\xfe",
            "a.a.a.a",
            "t0",
            "__class__",
        ),
        *("shape", "type", "fields", "descr", "|O", "<f8", "data", "fmt ", "F64", "I64", "BF16", "value", "base", "name", "unit"),
    )
]
VALUES = (
    0,
    1,
    -1,
    2,
    7,
    2**31 - 1,
    2**31,
    2**63,
    10**30,
    0.5,
    1e300,
    True,
    None,
    "",
    "x",
    [],
    {},
    [0],
    [[]],
    {"tensor": "t1"},
    {"map": {}},
)
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


class TooLong(Exception):
    """A reader took more than a second."""


def damaged(rng: random.Random, content: bytes, pool: list[bytes]) -> bytes:
    """Some bytes after one to six mutations."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 16, 64))
        match rng.randrange(8):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + length] = b""
            case 2:
                data[at:at] = data[at : at + length] * rng.choice((1, 2, 100))
            case 3:
                word = rng.choice(WORDS)
                data[at : at + rng.choice((0, len(word)))] = word
            case 4:
                width = rng.choice((1, 2, 4, 8))
                data[at : at + width] = (rng.choice(NUMBERS) & (256**width - 1)).to_bytes(width, rng.choice(("little", "big")))
            case 5:
                other = rng.choice(pool)
                begin = rng.randrange(len(other) + 1)
                data[at:at] = other[begin : begin + rng.choice((4, 32, 256))]
            case 6:
                found = [match.span() for match in re.finditer(rb"-?\d+(\.\d+)?", data)]
                begin, end = rng.choice(found) if found else (at, at)
                data[begin:end] = rng.choice((b"0", b"-1", b"1", b"2", b"7", b"65536", b"1000000007", b"1e30", b"0.25", b"true"))
            case 7:
                del data[at:]
    return bytes(data[:LONGEST])


def mutated(rng: random.Random, name: str, content: bytes, pool: list[bytes]) -> bytes:
    """A damaged file; half of the time the damage lies inside its container, which stays whole."""
    if rng.random() < 0.5:
        try:
            if name.endswith(".safetensors"):
                return _inside_header(rng, content, pool)
            if name.endswith(".npz"):
                return _inside_archive(rng, content, pool)
        except (
            ValueError,
            KeyError,
            IndexError,
            TypeError,
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
            EOFError,
            zlib.error,
        ):
            pass  # the container was broken by an earlier mutation
    return damaged(rng, content, pool)


def _inside_header(rng: random.Random, content: bytes, pool: list[bytes]) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    inner = header["__metadata__"]["neuro"].encode()
    if rng.random() < 0.7:
        described = json.loads(inner)
        for _ in range(rng.choice((1, 1, 2))):
            _change(rng, described)
        inner = json.dumps(described).encode()
    else:
        inner = damaged(rng, inner, pool)
    header["__metadata__"]["neuro"] = inner.decode("utf-8", "replace")
    return with_header(header, content[8 + length :])


def _change(rng: random.Random, described: Any) -> None:
    """Another value, one less or one twice, somewhere in JSON; or two parts exchanged."""
    places = [(place, key) for place in _tables(described) for key in (place if isinstance(place, dict) else range(len(place)))]
    place, key = rng.choice(places)
    other, name = rng.choice(places)
    match rng.randrange(4):
        case 0:
            place[key] = rng.choice(VALUES)
        case 1:
            del place[key]
        case 2:
            place[key] = json.loads(json.dumps(other[name]))
        case 3 if isinstance(place[key], int | float):
            place[key] = place[key] * rng.choice((-1, 0, 2, 1000, 10**12)) + rng.choice((0, 1))


def _tables(value: Any) -> list[Any]:
    """Every list and table in JSON, itself included."""
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value] * bool(value) + [found for part in inner for found in _tables(part)]


def _inside_archive(rng: random.Random, content: bytes, pool: list[bytes]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(info.file_size for info in archive.infolist()) > LONGEST:
            raise ValueError("too large")
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    chosen = rng.choice(list(members))
    members[chosen] = damaged(rng, members[chosen][:128], pool) + members[chosen][128:]
    return zipped(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def outcome(read: Callable[[Path], Any], path: Path, limit_s: float = 0) -> str:
    """What the reader makes of a file, numbers and quotations left out: "taken", or the error; "FAILED ..." for any other.

    `limit_s`: of processor time, then SIGPROF comes; 0: as long as it takes. A reader that has kernels compiled, once in each
    process, gets `COMPILING_S` for it: a compiler that is interrupted leaves kernels behind that nothing can call.
    """
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        with told(lambda count: signal.setitimer(signal.ITIMER_PROF, limit_s and COMPILING_S)):
            read(path)
    except NeuroError as error:
        said = re.sub(r"'[^']*'|[0-9]+", "", error.fact)[:60]
        return f"{type(error).__name__}: {said}"
    except TooLong:
        return "FAILED: more than a second"
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is a failure of the reader
        return f"FAILED: {type(error).__name__}: {error}"[:300]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "taken"


def corpus(reader: str) -> list[bytes]:
    """The inputs that are kept for a reader."""
    if not (CORPUS / f"{reader}.zip").exists():
        return []
    with zipfile.ZipFile(CORPUS / f"{reader}.zip") as archive:
        return [archive.read(name) for name in sorted(archive.namelist())]


def write_corpus(reader: str, inputs: list[bytes]) -> None:
    """Keep the smallest inputs that go into `KEPT_BYTES` when packed."""
    CORPUS.mkdir(exist_ok=True)
    kept: dict[str, bytes] = {}
    for content in sorted(inputs, key=lambda content: (len(content), content)):
        more = kept | {hashlib.sha1(content).hexdigest()[:12]: content}
        if len(zipped(more, zipfile.ZIP_DEFLATED)) > KEPT_BYTES:
            break
        kept = more
    (CORPUS / f"{reader}.zip").write_bytes(zipped(kept, zipfile.ZIP_DEFLATED))


def fuzz(reader: str, limit: int, seed: int, folder: Path, *, until: float = math.inf, keep: bool = False) -> dict[str, Any]:
    """Feed one reader `limit` inputs, or fewer where the monotonic clock comes to `until` before; what came of it."""
    name, read = READERS[reader]
    limit_s = 0 if until == math.inf else 1
    path, rng = folder / name, random.Random(f"{reader} {seed}")
    write_good(reader, path)
    seeds = [path.read_bytes(), *corpus(reader)]
    pool, seen, failures, inputs, taken = list(seeds), {}, {}, 0, 0
    for content in seeds:
        path.write_bytes(content)
        seen[outcome(read, path)] = content
    while inputs < limit and time.monotonic() < until:
        content = mutated(rng, name, seeds[0] if rng.random() < 0.6 else rng.choice(pool), pool)
        path.write_bytes(content)
        (folder / "last").write_bytes(content)
        what = outcome(read, path, limit_s)
        inputs, taken = inputs + 1, taken + (what == "taken")
        if what not in seen:
            seen[what] = content
            pool.append(content)
        if what.startswith("FAILED") and what not in failures:
            failures[what] = content.hex() if len(content) <= 5_000 else f"{len(content)} bytes"
    if keep:
        write_corpus(reader, list(seen.values()))
    refusals = inputs - taken - len(failures)
    return {"inputs": inputs, "taken": taken, "refused": refusals, "outcomes": len(seen), "failures": failures}


def _apart(reader: str, seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """One reader in a fork, with bounded memory; a fork that ends otherwise than it should is a failure."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        process = os.fork()
        if process == 0:
            _child(reader, seconds, options, folder)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status == 0:
            found: dict[str, Any] = json.loads((folder / "found").read_text())
            return found
        last = (folder / "last").read_bytes()[:5_000].hex() if (folder / "last").exists() else "none"
        return {"inputs": 0, "taken": 0, "refused": 0, "outcomes": 0, "failures": {f"ended with {status}": last}}


def _child(reader: str, seconds: float, options: argparse.Namespace, folder: Path) -> None:
    def stop(*_: Any) -> None:
        raise TooLong

    try:
        signal.signal(signal.SIGPROF, stop)
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
        found = fuzz(reader, sys.maxsize, options.seed, folder, until=time.monotonic() + seconds, keep=options.keep)
        (folder / "found").write_text(json.dumps(found))
    except BaseException:  # noqa: BLE001  # told by the parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--reader", action="append", choices=list(READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chosen = options.reader or list(READERS)
    rows: dict[str, Any] = {}
    for reader in chosen:
        rows[reader] = _apart(reader, 60 * options.minutes / len(chosen), options)
        told = {name: value for name, value in rows[reader].items() if name != "failures"}
        print(reader, told, *rows[reader]["failures"], sep="\n  ", file=sys.stderr, flush=True)  # noqa: T201  # a command
    if options.json:
        print(json.dumps({"minutes": options.minutes, "seed": options.seed, "readers": rows}, indent=1))  # noqa: T201  # a command
    sys.exit(any(row["failures"] for row in rows.values()))


if __name__ == "__main__":
    main()
