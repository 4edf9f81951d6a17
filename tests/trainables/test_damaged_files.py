"""Files of a trial that were damaged, or written by somebody who means ill."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.checkpoint import CheckpointError, read_checkpoint
from trainables.evaluate import evaluate_checkpoint
from trainables.predictor import Predictor
from trainables.settings import TrialSettings
from trainables.trial_folder import FolderError, TrialFolder
from trainables.trial_run import TrialRun

FUZZ = settings(derandomize=True, max_examples=120, deadline=None, database=None)
ROW = {"value": 0.5, "metrics": {"val/miou": 0.5}, "arrays": {}, "end": None}


class Runs:
    """Creates a file where it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.witness),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> TrialFolder:
    return TrialFolder(tmp_path_factory.mktemp("trial"))


@pytest.fixture(scope="module")
def checkpoint(folder: TrialFolder) -> bytes:
    folder.save("whole.pt", {"model": {"a": torch.ones(3, 3)}, "settings": "{}", "class_names": ["a"], "applied": "{}"})
    return (folder.path / "whole.pt").read_bytes()


@FUZZ
@given(content=st.binary(max_size=300))
def test_random_bytes_are_no_checkpoint(folder: TrialFolder, content: bytes) -> None:
    path = folder.path / "best.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"best\.pt is no checkpoint"):
        read_checkpoint(path, "model")


@FUZZ
@given(data=st.data())
def test_a_checkpoint_cut_short_or_with_changed_bytes_is_refused_or_whole(
    folder: TrialFolder, checkpoint: bytes, data: st.DataObject
) -> None:
    path = folder.path / "best.pt"
    content = bytearray(checkpoint[: data.draw(st.integers(0, len(checkpoint)))])
    for _ in range(data.draw(st.integers(0, 3)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = read_checkpoint(path, "model")
    except CheckpointError as error:
        assert str(path) in str(error)
        assert "restore a copy" in str(error)
    else:
        assert set(found) >= {"model"}


@pytest.mark.parametrize("saved", [pickle.dumps, torch.save], ids=["pickle", "torch"])
def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, saved: object) -> None:
    witness = tmp_path / "ran"
    path = tmp_path / "best.pt"
    if saved is pickle.dumps:
        path.write_bytes(pickle.dumps({"model": Runs(witness)}))
    else:
        torch.save({"model": Runs(witness)}, path)
    for read in (
        lambda: read_checkpoint(path),
        lambda: TrialFolder(tmp_path).load("best.pt"),
        lambda: Predictor.load(path, torch.device("cpu")),
        lambda: evaluate_checkpoint(path, None, None),  # type: ignore[arg-type]  # it comes no further
    ):
        with pytest.raises(CheckpointError, match=r"best\.pt is no checkpoint"):
            read()
    assert not witness.exists()
    # It would have: the test is of something.
    pickle.loads(pickle.dumps(Runs(witness)))  # noqa: S301
    assert witness.exists()


def test_last_pt_says_that_it_can_go(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="or delete it: the trial then starts anew"):
        TrialFolder(tmp_path).load("last.pt")


def rows_of(count: int) -> list[bytes]:
    return [json.dumps({"epoch": epoch, **ROW}).encode() + b"\n" for epoch in range(1, count + 1)]


@FUZZ
@given(end=st.integers(0, sum(map(len, rows_of(4)))))
def test_rows_cut_anywhere_are_the_whole_ones(folder: TrialFolder, end: int) -> None:
    content = b"".join(rows_of(4))[:end]
    (folder.path / "epochs.jsonl").write_bytes(content)
    assert [row["epoch"] for row in folder.rows()] == list(range(1, content.count(b"\n") + 1))


@FUZZ
@given(
    after=st.integers(0, 4),
    garbage=st.binary(min_size=1, max_size=30)
    | st.sampled_from([b"\0\0", b"[]", b"null", b"{}", b'{"epoch": 9}', b"[" * 3000, rows_of(1)[0].strip()]),
)
def test_a_garbage_row_is_named_with_what_to_do(folder: TrialFolder, after: int, garbage: bytes) -> None:
    lines = rows_of(4)
    garbage = garbage.replace(b"\n", b"?").replace(b"\r", b"?")
    content = b"".join([*lines[:after], garbage + b"\n", *lines[after:]])
    (folder.path / "epochs.jsonl").write_bytes(content)
    try:
        folder.rows()
    except FolderError as error:
        # A whole row of the wrong epoch is found where it stands, too.
        assert f"line {after + 1}: " in str(error) or garbage == rows_of(1)[0].strip()
        assert "restore a copy" in str(error)
    else:
        raise AssertionError("taken for a row")
    assert (folder.path / "epochs.jsonl").read_bytes() == content


def test_a_trial_whose_rows_are_gone_starts_anew_with_the_same_ones(tmp_path: Path) -> None:
    trial = TrialSettings.model_validate(
        {"entry": "tests.studies.scripted:Graded", "epochs": 4, "data": {"format": "terrain"}}
    )
    place = TrialFolder(tmp_path)

    def run(epochs: int) -> list[float]:
        one = TrialRun(trial, tmp_path, tmp_path, have=0)
        return [one.next_row()["value"] for _ in range(epochs)]

    before = run(3)
    (tmp_path / "epochs.jsonl").write_bytes(b"".join((tmp_path / "epochs.jsonl").read_bytes().splitlines(True)[:1]))
    assert run(4)[:3] == before
    assert [row["epoch"] for row in place.rows()] == [1, 2, 3, 4]
