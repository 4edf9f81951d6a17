"""A trial in its folder: rows, checkpoints, ends, and going on the same after any interruption."""

import json
import math
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from trainables.custom import PartError
from trainables.settings import TrialSettings
from trainables.trial_run import TrialRun, load_entry

CLOCK = ("started_s", "ended_s", "device_s", "worker")
CPU = torch.device("cpu")

# Training losses of five epochs from seed 0, one thread, fp32. Changing them needs a reason in the commit.
GOLDEN = [1.6747631, 1.4598875, 1.2888630, 1.1824261, 1.1214643]


def run_of(settings, folder, cache, have=0):
    return TrialRun(settings, folder, cache, have, threads=1, device=CPU)


def all_rows(run):
    rows = [run.next_row()]
    while rows[-1]["end"] is None:
        rows.append(run.next_row())
    return rows


def timeless(rows):
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in rows]


def assert_same_files(one, other):
    """The same weights and states to the bit; the same rows but for the clock."""
    for name in ("best.pt", "last.pt"):
        first, second = (torch.load(folder / name, weights_only=True) for folder in (one, other))
        assert_equal(first, second)
    rows = [
        [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()] for folder in (one, other)
    ]
    assert timeless(rows[0]) == timeless(rows[1])


def assert_equal(first, second):
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_equal(first[key], second[key])
    elif isinstance(first, list):
        assert len(first) == len(second)
        for pair in zip(first, second, strict=True):
            assert_equal(*pair)
    else:
        assert first == second


@pytest.fixture(scope="module")
def settings(terrain_settings):
    """Everything with a state is in use: dropout, Adam's moments, a plateau, augmentation."""
    return terrain_settings(
        epochs=4,
        model={"name": "fpn", "encoder": "mobilenetv3_small_050"},
        augment={"set": "terrain"},
        schedule={"name": "plateau", "warmup_epochs": 1, "plateau": {"patience": 0, "factor": 0.5}},
        loss={"terms": {"dice": {"weight": 0.5}}, "class_weights": "complement"},
    )


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory, terrain_cache):
    """A folder of a trial that ran to its end undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    all_rows(run_of(settings, folder, terrain_cache))
    return folder


def test_golden_losses(tmp_path, terrain_cache, terrain_settings):
    """Other CPUs round differently, hence the tolerance."""
    settings = terrain_settings(epochs=5)
    losses = [row["metrics"]["train/loss"] for row in all_rows(run_of(settings, tmp_path, terrain_cache))]
    assert losses == pytest.approx(GOLDEN, rel=1e-3)


def test_rows_are_complete_strict_json(whole):
    lines = (whole / "epochs.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON")) for line in lines]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["end"] for row in rows] == [None, None, None, "finished"]
    for row in rows:
        names = {"val/miou", "val/loss", "val/ce", "val/pixel_accuracy", "train/loss", "lr"}
        assert set(row["metrics"]) == names
        assert row["value"] == row["metrics"]["val/miou"]
        assert len(row["arrays"]["val/iou"]) == 5
        assert 0 < row["device_s"] <= row["ended_s"] - row["started_s"] + 0.1
        assert row["worker"].endswith(f":{os.getpid()}")


def test_files_hold_what_they_should(whole, settings):
    rows = [json.loads(line) for line in (whole / "epochs.jsonl").read_text().splitlines()]
    best, last = (torch.load(whole / name, weights_only=True) for name in ("best.pt", "last.pt"))
    values = [row["value"] for row in rows]
    assert best["value"] == last["best_value"] == max(values)
    assert best["epoch"] == last["best_epoch"] == values.index(max(values)) + 1
    assert last["rows"] == 4
    assert TrialSettings.model_validate_json(best["settings"]) == settings
    assert best["class_names"] == ["background", "soil", "bedrock", "sand", "big rock"]
    applied = json.loads((whole / "applied.json").read_text())
    assert applied == json.loads(best["applied"])
    assert applied["threads"] == 1
    assert sorted(path.name for path in whole.iterdir()) == [
        ".claim",
        "applied.json",
        "best.pt",
        "epochs.jsonl",
        "last.pt",
        "latency.json",
        "pictures.npz",
    ]
    with np.load(whole / "pictures.npz", allow_pickle=False) as pictures:
        assert len(pictures["names"]) == 4
        assert pictures["image_3"].shape == (64, 128, 1)
        assert pictures["truth_0"].shape == pictures["prediction_0"].shape == (64, 128)
        assert pictures["prediction_0"].dtype == np.uint8


@pytest.mark.parametrize("interrupted_after", [1, 3])
def test_a_new_object_on_the_folder_goes_on_bit_for_bit(settings, whole, tmp_path, terrain_cache, interrupted_after):
    first = run_of(settings, tmp_path, terrain_cache)
    for _ in range(interrupted_after):
        first.next_row()
    first.reset()
    second = run_of(settings, tmp_path, terrain_cache, have=interrupted_after)
    assert [row["epoch"] for row in all_rows(second)] == list(range(interrupted_after + 1, 5))
    assert_same_files(tmp_path, whole)


CRASH = """
import json, os, sys
from pathlib import Path
import torch
from trainables.settings import TrialSettings
from trainables.trial_run import TrialRun

settings, folder, cache, crash_at = sys.argv[1:]
name, _, epoch = crash_at.partition("@")

def audit(event, arguments):
    # A crash just before the file is opened for the epoch's write.
    if event == "open" and f"/{name}" in str(arguments[0]).replace("/.", "/") and "w" in str(arguments[1]):
        counts = Path(folder, "epochs.jsonl").read_text().count(chr(10))
        if counts == int(epoch):
            os._exit(9)


sys.addaudithook(audit)
settings = TrialSettings.model_validate_json(settings)
run = TrialRun(settings, Path(folder), Path(cache), threads=1, device=torch.device("cpu"))
while run.next_row()["end"] is None:
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("crash_at", ["best.pt@1", "last.pt@2", "last.pt@4"])
def test_a_crash_between_row_best_and_last_loses_nothing(settings, whole, tmp_path, terrain_cache, crash_at):
    arguments = [settings.model_dump_json(), str(tmp_path), str(terrain_cache), crash_at]
    done = subprocess.run([sys.executable, "-c", CRASH, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 9, done.stderr
    seen = len((tmp_path / "epochs.jsonl").read_text().splitlines())
    assert seen == int(crash_at[-1])
    # The driver has seen all but the row that was being written.
    rows = all_rows(run_of(settings, tmp_path, terrain_cache, have=seen - 1))
    assert [row["epoch"] for row in rows] == list(range(seen, 5))
    assert_same_files(tmp_path, whole)


def test_a_row_cut_short_is_written_again(settings, whole, tmp_path, terrain_cache):
    run = run_of(settings, tmp_path, terrain_cache)
    run.next_row()
    with (tmp_path / "epochs.jsonl").open("a") as file:
        file.write('{"epoch": 2, "val')
    all_rows(run_of(settings, tmp_path, terrain_cache))
    assert_same_files(tmp_path, whole)


@pytest.mark.parametrize("have", [0, 2, 4, 9])
def test_rows_that_the_caller_lacks_come_first_and_the_end_is_told_again(settings, whole, terrain_cache, have):
    before = (whole / "epochs.jsonl").read_bytes()
    rows = all_rows(run_of(settings, whole, terrain_cache, have=have))
    assert [row["epoch"] for row in rows] == list(range(min(have, 3) + 1, 5))
    assert (whole / "epochs.jsonl").read_bytes() == before


def test_another_seed_gives_another_trial(settings, whole, tmp_path, terrain_cache):
    row = run_of(settings.model_copy(update={"seed": 1}), tmp_path, terrain_cache).next_row()
    assert row["value"] != json.loads((whole / "epochs.jsonl").read_text().splitlines()[0])["value"]


def test_a_diverged_trial_ends_with_its_value(tmp_path, terrain_cache, terrain_settings):
    settings = terrain_settings(optimizer={"name": "sgd", "lr": 1e30})
    rows = all_rows(run_of(settings, tmp_path, terrain_cache))
    assert rows[-1]["end"] == "diverged"
    assert rows[-1]["metrics"]["val/loss"] is None or rows[-1]["metrics"]["train/loss"] is None
    assert 0 <= rows[-1]["value"] < 0.5


def test_divergence_in_the_last_epoch_is_divergence(tmp_path, terrain_cache, terrain_settings):
    settings = terrain_settings(epochs=1, optimizer={"name": "sgd", "lr": 1e30})
    assert run_of(settings, tmp_path, terrain_cache).next_row()["end"] == "diverged"


def test_a_trial_that_stands_still_stops_early(tmp_path, terrain_cache, terrain_settings):
    settings = terrain_settings(
        epochs=50, optimizer={"name": "sgd", "lr": 1e-12}, early_stop={"monitor": "miou", "patience": 2}
    )
    rows = all_rows(run_of(settings, tmp_path, terrain_cache))
    assert rows[-1]["end"] == "early_stopped"
    assert len(rows) < 20


def test_the_last_epoch_is_a_finish_even_where_it_would_stop_early(tmp_path, terrain_cache, terrain_settings):
    settings = terrain_settings(
        epochs=2, optimizer={"name": "sgd", "lr": 1e-12}, early_stop={"monitor": "miou", "patience": 1}
    )
    rows = all_rows(run_of(settings, tmp_path, terrain_cache))
    assert rows[-1]["end"] == "finished"


USERS_OWN = """
import numpy as np
from trainables.protocol import EpochResult

class Constant:
    class_names = ("a", "b")
    applied = {"trainable_parameters": 1}

    def setup(self, settings, context):
        self.share = settings.optimizer.lr

    def run_epoch(self, epoch):
        hits = int(100 * self.share * epoch)
        counts = np.array([[hits, 100 - hits], [0, 100]])
        return EpochResult(counts, {"train/loss": 1.0, "val/loss": float("inf") if epoch == 3 else 1.0})

    def state(self):
        return {}

    def load_state(self, state):
        pass

    def model_state(self):
        return {"share": self.share}

    def reset(self):
        pass
"""


def test_a_users_own_class_can_train(tmp_path, monkeypatch):
    (tmp_path / "users_own.py").write_text(textwrap.dedent(USERS_OWN))
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = TrialSettings.model_validate({"entry": "users_own:Constant", "epochs": 9, "optimizer": {"lr": 0.2}})
    rows = all_rows(run_of(settings, tmp_path / "trial", tmp_path))
    assert [row["value"] for row in rows] == [math.fsum([h / 100, 100 / (200 - h)]) / 2 for h in (20, 40, 60)]
    assert rows[-1]["end"] == "diverged"
    assert rows[-1]["metrics"]["val/loss"] is None
    assert torch.load(tmp_path / "trial" / "best.pt", weights_only=True)["model"] == {"share": 0.2}
    assert not (tmp_path / "trial" / "pictures.npz").exists()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("trainables.segmentation", "expected package.module:name"),
        ("no_such_package:Thing", "cannot be imported"),
        ("trainables.segmentation:Nothing", "trainables.segmentation has no Nothing; it has SegmentationTrainable"),
        ("pathlib:Path", "is no class with the methods"),
    ],
)
def test_an_entry_that_cannot_train_is_refused(entry, message):
    with pytest.raises(PartError, match=message):
        load_entry(entry)


def test_reset_reseeds_and_the_next_trial_is_not_touched_by_the_last(settings, whole, tmp_path, terrain_cache):
    other = run_of(settings.model_copy(update={"seed": 5}), tmp_path / "other", terrain_cache)
    other.next_row()
    other.reset()
    all_rows(run_of(settings, tmp_path / "same", terrain_cache))
    assert_same_files(tmp_path / "same", whole)
