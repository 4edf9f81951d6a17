"""Trials that do not fit into memory: half the images at a time, remembered, and the same figures as from the start."""

import json
import shutil
import subprocess
import sys
import textwrap

import pytest
import torch

from tests.trainables.test_trial_run import CPU, all_rows, assert_same_files, run_of
from trainables.memory import limit_memory, while_it_fits
from trainables.settings import TrialSettings
from trainables.trial_folder import TrialFolder

PICKY = """
import numpy as np
import torch
from trainables.protocol import EpochResult

FITS = {fits}

class Picky:
    class_names = ("a", "b")
    set_up = []

    def setup(self, settings, context):
        self.batch = context.micro_batch or settings.batch_size
        self.applied = {applied}
        self.set_up.append(self.batch)
        self.epochs = 0

    def run_epoch(self, epoch):
        if epoch >= 2 and self.batch > FITS:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.epochs += 1
        counts = np.array([[epoch, self.batch], [0, 100]])
        return EpochResult(counts, {{"train/loss": 1.0, "val/loss": 1.0}})

    def state(self):
        return {{"epochs": self.epochs}}

    def load_state(self, state):
        self.epochs = state["epochs"]

    def model_state(self):
        return {{}}

    def reset(self):
        self.__dict__.clear()
"""
HEEDING = '{"trainable_parameters": 1, "micro_batch": context.micro_batch}'


@pytest.fixture
def picky(tmp_path, monkeypatch):
    """Settings of a trainable whose first epoch fits and whose later ones fit with `fits` images or fewer."""

    def make(fits, applied=HEEDING):
        module = f"picky_of_{tmp_path.name}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(PICKY.format(fits=fits, applied=applied)))
        return TrialSettings.model_validate({"entry": f"{module}:Picky", "epochs": 4, "batch_size": 8})

    monkeypatch.syspath_prepend(str(tmp_path))
    return make


def batches_of(settings):
    return sys.modules[settings.entry.partition(":")[0]].Picky.set_up


def test_the_micro_batch_is_halved_until_it_fits_and_told(picky, tmp_path):
    settings = picky(fits=2)
    run = run_of(settings, tmp_path / "trial", tmp_path)
    assert run.next_row()["epoch"] == 1
    assert run.micro_batch is None
    rows = all_rows(run)
    assert batches_of(settings) == [8, 4, 2]
    assert run.micro_batch == 2
    assert [row["epoch"] for row in rows] == [2, 3, 4]
    folder = TrialFolder(tmp_path / "trial")
    assert [row["epoch"] for row in folder.rows()] == [1, 2, 3, 4]
    # The state went on from the first epoch's.
    assert folder.load("last.pt")["state"] == {"epochs": 4}
    assert folder.load("last.pt")["micro_batch"] == 2
    assert json.loads((tmp_path / "trial" / "applied.json").read_text())["micro_batch"] == 2


def test_a_resumed_trial_goes_on_with_the_micro_batch_in_force(picky, tmp_path):
    settings = picky(fits=2)
    run = run_of(settings, tmp_path / "trial", tmp_path)
    run.next_row()
    run.next_row()
    again = run_of(settings, tmp_path / "trial", tmp_path, have=2)
    assert again.micro_batch == 2
    all_rows(again)
    assert batches_of(settings) == [8, 4, 2, 2]


def test_what_did_not_fit_is_not_tried_again_after_a_crash(picky, tmp_path):
    settings = picky(fits=0)
    run = run_of(settings, tmp_path / "trial", tmp_path)
    run.next_row()
    with pytest.raises(torch.OutOfMemoryError):
        run.next_row()
    assert TrialFolder(tmp_path / "trial").load("last.pt")["micro_batch"] == 1
    assert run_of(settings, tmp_path / "trial", tmp_path, have=1).micro_batch == 1


@pytest.mark.parametrize(
    ("applied", "batches"),
    [
        (HEEDING, [8, 4, 2, 1]),
        (HEEDING.replace("}", ', "smallest_micro_batch": 2}'), [8, 4, 2]),
        ('{"trainable_parameters": 1}', [8]),
    ],
)
def test_what_does_not_fit_at_the_smallest_is_out_of_memory(picky, tmp_path, applied, batches):
    settings = picky(fits=0, applied=applied)
    run = run_of(settings, tmp_path / "trial", tmp_path)
    run.next_row()
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        run.next_row()
    assert batches_of(settings) == batches
    assert [row["epoch"] for row in TrialFolder(tmp_path / "trial").rows()] == [1]


def test_a_user_bug_is_no_lack_of_memory(picky, tmp_path):
    settings = picky(fits=0, applied='{"trainable_parameters": 1, "micro_batch": None, "bug": [][0]}')
    with pytest.raises(IndexError, match="out of range"):
        run_of(settings, tmp_path / "trial", tmp_path)


def test_evaluation_takes_half_the_images_until_they_fit():
    tried = []

    def run(batch):
        tried.append(batch)
        if batch > 2:
            raise MemoryError("too large")
        return "done"

    assert while_it_fits(run, 9, CPU) == ("done", 2)
    assert tried == [9, 4, 2]
    with pytest.raises(torch.OutOfMemoryError, match="not one"):
        while_it_fits(lambda batch: (_ for _ in ()).throw(MemoryError("not one")), 2, CPU)


def test_a_cpu_has_no_memory_fraction():
    limit_memory(CPU, 0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_fraction_of_a_gpu_is_a_limit():
    device = torch.device("cuda")
    whole = torch.cuda.get_device_properties(device).total_memory
    limit_memory(device, 0.1)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(whole // 5, dtype=torch.uint8, device=device)
    finally:
        limit_memory(device, 1.0)


@pytest.mark.parametrize(
    ("model", "terms", "exact"),
    [
        ({"name": "unet", "width": 4, "depth": 2, "norm": "instance"}, {}, True),
        ({"name": "unet", "width": 4, "depth": 2, "norm": "batch"}, {}, False),
        ({"name": "unet", "width": 4, "depth": 2, "norm": "instance"}, {"dice": {"weight": 1}}, False),
    ],
)
def test_whether_the_gradient_is_exact_is_recorded(tmp_path, terrain_cache, terrain_settings, model, terms, exact):
    settings = terrain_settings(epochs=1, model=model, loss={"terms": terms})
    assert run_of(settings, tmp_path / "whole", terrain_cache).applied["gradient_exact"]
    run = starting_with(2, settings, tmp_path / "micro", terrain_cache)
    assert run.applied["gradient_exact"] is exact
    assert run.applied["micro_batch"] == 2


def starting_with(micro_batch, settings, folder, cache):
    start = {"rows": 0, "best_value": float("-inf"), "best_epoch": 0, "micro_batch": micro_batch}
    TrialFolder(folder).save("last.pt", start)
    return run_of(settings, folder, cache)


def test_a_model_without_batch_norm_trains_alike_in_pieces(tmp_path, terrain_cache, terrain_settings):
    model = {"name": "unet", "width": 4, "depth": 2, "norm": "instance"}
    settings = terrain_settings(epochs=2, model=model, loss={"class_weights": "inverse"}, optimizer={"name": "sgd"})
    whole = all_rows(run_of(settings, tmp_path / "whole", terrain_cache))
    cut = all_rows(starting_with(1, settings, tmp_path / "micro", terrain_cache))
    for one, other in zip(whole, cut, strict=True):
        assert other["metrics"]["train/loss"] == pytest.approx(one["metrics"]["train/loss"], rel=1e-5)
        assert other["metrics"]["val/loss"] == pytest.approx(one["metrics"]["val/loss"], rel=1e-5)


STARVED = """
import resource, sys
from pathlib import Path
import torch
from trainables.settings import TrialSettings
from trainables.trial_run import TrialRun

settings, folder, cache = sys.argv[1:]
settings = TrialSettings.model_validate_json(settings)
run = TrialRun(settings, Path(folder), Path(cache), threads=1, device=torch.device("cpu"))
assert run.micro_batch is None
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 380 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (size, size))
while run.next_row()["end"] is None:
    pass
print(run.micro_batch)
"""


@pytest.mark.slow
def test_a_unet_that_does_not_fit_goes_on_with_fewer_images_as_if_it_always_had(
    tmp_path, terrain_cache, terrain_settings
):
    """In 380 MiB beyond what is loaded: eight images of this size need 430 to 480, four of them 340."""
    data = {"format": "terrain", "size": [128, 256], "terrain": {"images": 24}}
    model = {"name": "unet", "width": 16, "depth": 2, "norm": "instance"}
    settings = terrain_settings(epochs=2, batch_size=8, data=data, model=model)
    run_of(settings, tmp_path / "starved", terrain_cache).next_row()
    shutil.copytree(tmp_path / "starved", tmp_path / "reference")

    arguments = [settings.model_dump_json(), str(tmp_path / "starved"), str(terrain_cache)]
    done = subprocess.run([sys.executable, "-c", STARVED, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    micro_batch = int(done.stdout)
    assert micro_batch in (1, 2, 4)
    assert [row["epoch"] for row in TrialFolder(tmp_path / "starved").rows()] == [1, 2]

    reference = TrialFolder(tmp_path / "reference")
    reference.save("last.pt", {**reference.load("last.pt"), "micro_batch": micro_batch})
    all_rows(run_of(settings, tmp_path / "reference", terrain_cache))
    assert_same_files(tmp_path / "starved", tmp_path / "reference")
