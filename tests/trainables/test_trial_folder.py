"""Files of a trial: whole or not there at all."""

import json
import math

import pytest
import torch

from trainables.trial_folder import TrialFolder


def test_rows_come_back_and_what_json_lacks_is_null(tmp_path):
    folder = TrialFolder(tmp_path / "trial")
    written = folder.append_row({"epoch": 1, "value": 0.1, "arrays": {"val/iou": [math.nan, 1.0]}, "loss": -math.inf})
    assert written == {"epoch": 1, "value": 0.1, "arrays": {"val/iou": [None, 1.0]}, "loss": None}
    assert folder.rows() == [written]


def test_floats_keep_every_digit(tmp_path):
    value = 0.1 + 0.2
    assert TrialFolder(tmp_path).append_row({"value": value})["value"] == value


def test_cutting_keeps_the_first_rows_and_drops_a_torn_line(tmp_path):
    folder = TrialFolder(tmp_path)
    for epoch in (1, 2, 3):
        folder.append_row({"epoch": epoch})
    with (tmp_path / "epochs.jsonl").open("a") as file:
        file.write('{"epoch": 4')
    assert [row["epoch"] for row in folder.rows()] == [1, 2, 3]
    folder.cut_rows(3)
    folder.append_row({"epoch": 4})
    assert [json.loads(line)["epoch"] for line in (tmp_path / "epochs.jsonl").read_text().splitlines()] == [1, 2, 3, 4]
    folder.cut_rows(0)
    assert folder.rows() == []


def test_an_empty_folder_has_no_rows(tmp_path):
    folder = TrialFolder(tmp_path)
    folder.cut_rows(0)
    assert folder.rows() == []
    assert folder.load("last.pt") is None


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    folder = TrialFolder(tmp_path)
    folder.save("last.pt", {"rows": 1, "weights": torch.ones(3)})
    with pytest.raises(AttributeError, match=r"Can't (get|pickle) local object"):
        folder.save("last.pt", {"rows": 2, "broken": lambda: None})
    loaded = folder.load("last.pt")
    assert loaded["rows"] == 1
    assert torch.equal(loaded["weights"], torch.ones(3))
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
