"""The dearest corner of a space, and `launch --probe`, which trains a few steps of it."""

import os
import re
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from studies.files.space_checks import study_space
from studies.files.study_file import parse_study
from studies.running.corner import dearest_corner
from studies.running.probe import Probe, probe_lines
from studies.running.resources import Slots
from tests.studies.running import ROOT, command, contourney, environment
from trainables.probe import Probed

FILE = """
trial:
  epochs: 3
  batch_size: 2
  data: {format: terrain, size: [32, 40], terrain: {images: 20}}
  model: {depth: 1}
space:
  batch_size: {choices: [2, 4]}
  model.width: {low: 2, high: 6}
  optimizer.lr: {low: 1.0e-4, high: 1.0e-2, log: true}
search: {trials: 10}
resources: {cpu: 1, workers: 2, gpu: 0}
"""


def corner_of(space: str, trial: str = "{}") -> dict[str, Any]:
    settings = parse_study(f"trial: {trial}\nspace:\n{space}\nsearch: {{trials: 1}}", "study.yaml", "corner", (), {})
    return dict(dearest_corner(study_space(settings), settings.trial))


@pytest.mark.parametrize(
    ("path", "values", "dearest"),
    [
        ("batch_size", "{choices: [4, 16, 8]}", 16),
        ("batch_size", "{low: 2, high: 12}", 12),
        ("optimizer.lr", "{low: 0.001, high: 0.1}", 0.001),
        ("loss.terms.dice.weight", "{low: 0.0, high: 1.0}", 1.0),
        ("optimizer.name", "{choices: [adamw, sgd]}", "adamw"),
        ("precision", "{choices: [bf16, fp32]}", "fp32"),
        ("model.deep_supervision", "{choices: [false, true]}", True),
        ("model.width", "{choices: [64, 16]}", 64),
        ("model.skips", "{choices: [plain, attention]}", "attention"),
        ("augment.set", "{choices: [none, strong, flips]}", "strong"),
        ("schedule.name", "{choices: [constant, cosine]}", "constant"),
    ],
)
def test_the_dearest_value_of_one_parameter(path: str, values: str, dearest: object) -> None:
    assert corner_of(f"  {path}: {values}") == {path: dearest}


def test_encoders_are_compared_by_their_parameters_and_unfreezing_by_its_depth() -> None:
    found = corner_of(
        "  model.encoder: {choices: [mobilenetv2_100, resnet34, resnet18]}\n"
        "  model.unfreeze: {choices: [decoder, stage3, stage4]}",
        "{model: {name: fpn}, data: {format: terrain}}",
    )
    assert found == {"model.encoder": "resnet34", "model.unfreeze": "stage3"}


def test_a_parameter_that_is_not_active_in_the_corner_has_no_value() -> None:
    found = corner_of(
        "  optimizer.name: {choices: [sgd, adam]}\n"
        "  optimizer.momentum: {low: 0.5, high: 0.9, when: {optimizer.name: sgd}}\n"
        "  optimizer.weight_decay: {low: 0.0, high: 0.1, when: {optimizer.name: adam}}",
        "{optimizer: {name: sgd}}",
    )
    assert found == {"optimizer.name": "adam", "optimizer.weight_decay": 0.0}


def lines_of(**changed: Any) -> Sequence[str]:
    took = Probed("CPU", 3 * 2**30, 8 * 2**30, 0.5, 36.0, 60)
    given: dict[str, Any] = {"slots": Slots({"cpu": 1.0}, 4, 1), "trials": 20, "hours": None, **changed}
    return probe_lines(Probe({"batch_size": 16}, took, epochs=10, **given))


def test_the_cost_of_the_budget_by_hand() -> None:
    text = "\n".join(lines_of())
    assert "dearest corner: batch_size=16" in text
    assert "memory at the peak on CPU: 3.00 of 8.0 GiB" in text
    assert "time: 0.500 s a step, 36.0 s an epoch (60 steps and validation), 6 min for 10 epochs" in text
    # 20 trials x 10 epochs x 36 s = 7200 s.
    assert "budget of 20 trials: at most 2.00 device-hours, 30 min with 4 at once here" in text
    assert "none pruned" in text


def test_a_budget_of_hours_and_a_share_of_a_gpu() -> None:
    text = "\n".join(lines_of(trials=None, hours=3.0, slots=Slots({"cpu": 1.0, "gpu": 0.5}, 4, 1, 0.5)))
    assert "budget of 3 hours: at most 12.00 device-hours" in text
    assert "a trial may take 50%" in text
    assert "none pruned" not in text


@pytest.mark.slow
def test_the_command_trains_and_records_nothing(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(FILE)
    done = contourney("launch", str(tmp_path / "study.yaml"), "--workspace", str(tmp_path / "w"), "--probe")
    assert done.returncode == 0, done.stderr
    assert "dearest corner: batch_size=4, model.width=6, optimizer.lr=0.0001" in done.stdout
    found = re.search(r"peak on .*: ([\d.]+) of .* ([\d.]+) s a step, ([\d.]+) s an epoch", done.stdout, re.DOTALL)
    assert found is not None, done.stdout
    assert all(float(figure) >= 0 for figure in found.groups())
    assert {path.name for path in (tmp_path / "w").iterdir()} == {"cache"}


@pytest.mark.slow
def test_out_of_memory_is_told_with_what_to_change(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        FILE.replace("[32, 40]", "[1024, 1024]").replace("[2, 4]", "[2, 512]").replace("high: 6", "high: 256")
    )

    def little_memory() -> None:
        limit = 9 * 2**30
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        command("launch", str(tmp_path / "study.yaml"), "--workspace", str(tmp_path / "w"), "--probe"),
        cwd=ROOT,
        env=environment(CUDA_VISIBLE_DEVICES=""),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=little_memory if os.name == "posix" else None,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "does not fit" in done.stderr
    assert "space.batch_size (here 512)" in done.stderr
    assert "Traceback" not in done.stderr
