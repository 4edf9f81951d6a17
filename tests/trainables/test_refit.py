"""A refit in its folder: its epochs and rates, no figure of validation, the last weights, going on after a kill."""

import json

import numpy as np
import pytest
import torch

from tests.trainables.test_trial_run import all_rows, assert_same_files, run_of
from trainables.check import SettingsError, check_settings
from trainables.data.batches import batch_count
from trainables.data.dataset import prepare
from trainables.data.joined import prepare_joined
from trainables.data.splits import Split
from trainables.pictures import shown_indices
from trainables.refit_settings import RefitSettings

PLATEAU = {"name": "plateau", "warmup_epochs": 1, "plateau": {"patience": 0, "factor": 0.5}}
LENGTH = 3


@pytest.fixture(scope="module")
def followed(terrain_settings):
    return terrain_settings(
        epochs=5, schedule=PLATEAU, early_stop={"monitor": "both", "patience": 1}, loss={"class_weights": "complement"}
    )


@pytest.fixture(scope="module")
def rows(followed, tmp_path_factory, terrain_cache):
    """The rows of the run that is followed."""
    never = followed.model_copy(update={"early_stop": followed.early_stop.model_copy(update={"monitor": "none"})})
    return all_rows(run_of(never, tmp_path_factory.mktemp("followed"), terrain_cache))


@pytest.fixture(scope="module")
def settings(followed, rows, terrain_cache):
    images = len(prepare(followed.data, Split.TRAIN, terrain_cache).names)
    trace = tuple(row["metrics"]["lr"] for row in rows[:LENGTH])
    steps = batch_count(images, followed.batch_size)
    return followed.model_copy(update={"refit": RefitSettings(lr_trace=trace, steps_per_epoch=steps)})


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory, terrain_cache):
    folder = tmp_path_factory.mktemp("refit")
    all_rows(run_of(settings, folder, terrain_cache))
    return folder


def test_it_has_the_recorded_rates_and_no_figure_of_validation(rows, whole):
    found = [json.loads(line) for line in (whole / "epochs.jsonl").read_text().splitlines()]
    # Nothing stops it early, and the schedule's horizon is not its end.
    assert [row["end"] for row in found] == [None, None, "finished"]
    rates = [row["metrics"]["lr"] for row in rows[:LENGTH]]
    assert [row["metrics"]["lr"] for row in found] == pytest.approx(rates, rel=1e-12)
    for row in found:
        assert set(row["metrics"]) == {"train/loss", "lr"}
        assert (row["value"], row["arrays"]) == (None, {})
        assert row["stand_in"] == -row["metrics"]["train/loss"]
    losses = [row["metrics"]["train/loss"] for row in found]
    assert losses == sorted(losses, reverse=True)


def test_the_last_epochs_weights_are_the_result(settings, whole, terrain_cache):
    best, last = (torch.load(whole / name, weights_only=True) for name in ("best.pt", "last.pt"))
    assert (best["epoch"], best["value"]) == (LENGTH, None)
    assert all(torch.equal(best["model"][name], last["state"]["model"][name]) for name in best["model"])
    data = prepare_joined(settings.data, terrain_cache)
    with np.load(whole / "pictures.npz", allow_pickle=False) as pictures:
        assert tuple(pictures["names"]) == tuple(data.names[index] for index in shown_indices(data))
    # Weights of classes are of all images that are trained on.
    weights = json.loads(best["applied"])["class_weights"]
    pixels_K = data.pixels_K
    present_K = pixels_K > 0
    complement_K = (1 - pixels_K / pixels_K.sum()) * present_K
    assert weights == pytest.approx((complement_K * present_K.sum() / complement_K.sum()).tolist())


@pytest.mark.parametrize("interrupted_after", [1, 2])
def test_a_new_object_on_the_folder_goes_on_bit_for_bit(settings, whole, tmp_path, terrain_cache, interrupted_after):
    first = run_of(settings, tmp_path, terrain_cache)
    for _ in range(interrupted_after):
        first.next_row()
    assert not (tmp_path / "best.pt").exists()
    first.reset()
    # A driver that knows no value of it has seen no row.
    again = all_rows(run_of(settings, tmp_path, terrain_cache, have=0))
    assert [row["epoch"] for row in again] == [1, 2, 3]
    assert_same_files(tmp_path, whole)


def test_more_rates_than_the_schedule_has_epochs_are_refused(settings):
    with pytest.raises(SettingsError, match=r"refit\.lr_trace: got 3 epochs, expected at most epochs \(2\)"):
        check_settings(settings.model_copy(update={"epochs": 2}))
