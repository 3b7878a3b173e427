"""The journal of a sweep: whatever is cut off goes on, damage is named, a finished sweep is not done again."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.errors import FormatError, UsageError
from neuro.sweeping.journal import Journal, open_journal
from neuro.sweeping.sweep import PLAN, sweep_subject
from tests.sweeps import SPACE, records, subject, sweep, written


@given(st.data())
def test_a_journal_cut_anywhere_goes_on(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with open_journal(path, {"subject": "a"}) as journal:
        for record in records(4):
            journal.append(record)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    with open_journal(path, {"subject": "a"}) as journal:
        left = list(journal.records.values())
        assert left == records(4)[: len(left)]
        assert len(left) >= content[:cut].count(b"\n") - 1
        for record in records(4)[len(left) :]:
            journal.append(record)
    assert path.read_bytes() == content


@given(st.data())
def test_a_damaged_line_is_named(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with open_journal(path, {"subject": "a"}) as journal:
        for record in records(3):
            journal.append(record)
    content = bytearray(path.read_bytes())
    at = data.draw(st.sampled_from([i for i, byte in enumerate(content) if byte not in b" \n"]))
    line = bytes(content[:at]).count(b"\n") + 1
    content[at] = data.draw(st.integers(33, 126).filter(lambda byte: byte != content[at]))
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"line {line}: it is damaged"), open_journal(path, {"subject": "a"}):
        pass


def test_two_sweeps_do_not_share_a_journal(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    about = {"subject": "a"}
    with open_journal(path, about), pytest.raises(UsageError, match="another sweep is writing it"), open_journal(path, about):
        pass


def test_a_folder_that_cannot_be_used_is_told(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="cannot be made a folder"):
        sweep(tmp_path / "file")
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(FormatError, match="cannot be written"), open_journal(tmp_path / "journal.jsonl", {}):
        pass


def test_a_journal_that_is_none_is_told(tmp_path) -> None:
    with pytest.raises(FormatError, match="cannot be written .No such file"), open_journal(tmp_path / "gone" / "journal", {}):
        pass
    endless = tmp_path / "endless"
    endless.touch()
    os.truncate(endless, (1 << 30) + 1)
    with pytest.raises(FormatError, match="it has 1,073,741,825 bytes, at most 1,073,741,824"), open_journal(endless, {}):
        pass


def test_a_full_disk_is_told_and_keeps_what_is_done() -> None:
    with pytest.raises(FormatError, match="Make room, then resume"), Path("/dev/full").open("wb", buffering=0) as full:
        Journal({}, full).append(records(1)[0])


def test_a_journal_about_something_else_is_refused(tmp_path) -> None:
    with open_journal(tmp_path / "journal.jsonl", {"subject": "a", "versions": {"torch": "1"}}):
        pass
    other = open_journal(tmp_path / "journal.jsonl", {"subject": "a", "versions": {"torch": "2"}})
    with pytest.raises(FormatError, match="versions differs"), other:
        pass


def test_a_finished_sweep_is_not_done_again(undisturbed) -> None:
    before, journal = written(undisturbed), (undisturbed / "journal.jsonl").read_bytes()
    heard = []
    found = sweep(undisturbed, resume=True, progress=lambda *told: heard.append(told))
    assert heard == [(len(found.points), len(found.points))]
    assert written(undisturbed) == before
    assert (undisturbed / "journal.jsonl").read_bytes() == journal


def test_a_sweep_is_not_overwritten(undisturbed) -> None:
    with pytest.raises(UsageError, match="it holds a sweep already"):
        sweep(undisturbed)
    model, x, y = subject()
    with pytest.raises(UsageError, match="another network or other data"):
        neuro.sweep(model, x[1:], y[1:], folder=undisturbed, space=SPACE, resume=True)


def test_there_must_be_a_sweep_to_continue(undisturbed, tmp_path) -> None:
    with pytest.raises(UsageError, match="there is no sweep to continue"):
        sweep_subject(None, None, tmp_path / "none", resume=True)
    copy = shutil.copytree(undisturbed, tmp_path / "copy")
    assert sweep_subject(None, None, copy, resume=True).to_rows() == sweep(undisturbed, resume=True).to_rows()
    for broken in ("{", "[]", '{"space": {}}', '{"space": {"colour": ["red"]}, "search": null}'):
        (copy / PLAN).write_text(broken)
        with pytest.raises(FormatError, match="it is no plan of a sweep .*State what to sweep"):
            sweep_subject(None, None, copy, resume=True)
