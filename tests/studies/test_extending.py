"""docs/extending.md, run as it stands: each example by itself, and a study of them on a Ray worker."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from studies.stored import open_study
from studies.study_file import load_study
from studies.workspace import Workspace
from tests.studies.commands import Call, audited, caller, scene
from tests.studies.running import ROOT, contourney, ready
from trainables.check import check_settings
from trainables.losses.criterion import Criterion
from trainables.losses.scores import Scores
from trainables.losses.settings import LossSettings
from trainables.losses.target import Target
from trainables.settings import TrialSettings
from trainables.trial_run import TrialRun

BLOCK = re.compile(r"```(?:python|yaml)\n# (?P<path>\S+)\n(?P<text>.*?)```", re.DOTALL)


def write_page(folder: Path) -> None:
    """Every named block of the page as a file, and the photos that the study reads."""
    for block in BLOCK.finditer((ROOT / "docs" / "extending.md").read_text(encoding="utf-8")):
        path = folder / block["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["text"], encoding="utf-8")
    (folder / "photos").mkdir()
    for index in range(12):
        image, mask = scene(index)
        Image.fromarray(image).save(folder / "photos" / f"site{index}-1.png")
        Image.fromarray(mask).save(folder / "photos" / f"site{index}-1_mask.png")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    write_page(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "field_kit"]:
        del sys.modules[name]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


def test_the_page_has_an_example_of_each_part(page: Path) -> None:
    found = {path.name for path in (page / "field_kit").iterdir()}
    assert found == {"models.py", "losses.py", "augmentations.py", "formats.py", "training.py"}


def test_the_study_of_the_page_trains(page: Path) -> None:
    settings = load_study("study.yaml", (), {}).trial
    run = TrialRun(settings, page / "trial", page / "cache", threads=1, device=torch.device("cpu"))
    rows = [run.next_row(), run.next_row()]
    assert [row["end"] for row in rows] == [None, "finished"]
    assert rows[1]["metrics"]["train/loss"] < rows[0]["metrics"]["train/loss"]
    assert run.applied["loss_terms"] == {"cross_entropy": 0.5}
    assert "RandomBrightnessContrast" in run.applied["augmentations"]
    assert run.applied["unfrozen"] == ["rest"]


def test_the_loss_of_the_page_is_the_brier_score(page: Path) -> None:
    terms = {"cross_entropy": {"weight": 0}, "custom": {"entry": "field_kit.losses:Brier", "weight": 2}}
    criterion = Criterion(LossSettings.model_validate({"terms": terms}), None)
    rng = np.random.default_rng(0)
    logits, masks = rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5), dtype=np.uint8)
    masks[0, 0] = 255
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    errors = [
        sum((chance[b, k, y, x] - (masks[b, y, x] == k)) ** 2 for k in range(3))
        for b, y, x in np.ndindex(masks.shape)
        if masks[b, y, x] != 255
    ]
    scores = Scores(torch.from_numpy(logits), Target(torch.from_numpy(masks), 3))
    assert float(criterion.value(criterion.statistics(scores))) == pytest.approx(2 * np.mean(errors))
    assert criterion.adds_up


def test_the_trainable_of_the_page_goes_on_after_an_interruption(page: Path) -> None:
    settings = load_study("guess.yaml", (), {}).trial
    whole = TrialRun(settings, page / "whole", page / "cache")
    first = TrialRun(settings, page / "cut", page / "cache")
    values = [whole.next_row()["value"] for _ in range(3)]
    assert first.next_row()["value"] == values[0]
    second = TrialRun(settings, page / "cut", page / "cache", have=1)
    assert [second.next_row()["value"] for _ in range(2)] == values[1:]


def refused(**sections: Any) -> str:
    with pytest.raises(ValueError, match=r"\w") as raised:
        check_settings(TrialSettings.model_validate(sections))
    return str(raised.value)


BROKEN = """
import albumentations, torch
from torch import nn

thing = 3

def few(settings): ...
def no_net(settings, channels, classes): return 5
def raises(settings, channels, classes): raise KeyError("a bug")
def resizes(settings, size, channels): return albumentations.Compose([albumentations.Resize(8, 8)])
def fills(settings, size, channels):
    return albumentations.Compose([albumentations.Affine(translate_percent=0.5, fill_mask=0, p=0.1)])
class Half:
    parameters = {}
    def __init__(self, settings, weights_K): ...
class Vector(Half):
    def statistics(self, scores): return scores.loss_BHW
    def value(self, statistics): return statistics
"""


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"model": {"name": "nowhere.models:net"}}, "model.name: 'nowhere.models:net' cannot be imported: there is no"),
        ({"model": {"name": "broken:nothing"}}, "model.name: 'broken:nothing': broken has no nothing; it has few, "),
        ({"model": {"name": "broken:thing"}}, "model.name: 'broken:thing': broken holds no function or class thing"),
        (
            {"model": {"name": "broken:few"}},
            "model.name: 'broken:few' must take (settings, channels, classes), but its",
        ),
        ({"model": {"name": "broken:no_net"}}, "model.name: broken:no_net gives int, expected a torch.nn.Module"),
        ({"model": {"name": "broken:raises"}}, "meta device: KeyError: 'a bug'"),
        ({"model": {"name": "unimportable:net"}}, "model.name: unimportable cannot be imported: ZeroDivisionError"),
        ({"data": {"format": "broken:no_net"}}, "data.format: 'broken:no_net' must take (settings), but"),
        ({"augment": {"set": "broken:few"}}, "augment.set: 'broken:few' must take (settings, size, channels)"),
        (
            {"augment": {"set": "broken:no_net"}, "data": {"size": [16, 16]}},
            "augment.set: broken:no_net gives int, expected an albumentations.Compose",
        ),
        ({"augment": {"set": "broken:resizes"}, "data": {"size": [16, 16]}}, "augment.set: broken:resizes: images of"),
        ({"augment": {"set": "broken:fills"}, "data": {"size": [16, 16]}}, "it changes the labels of masks"),
        ({"loss": {"terms": {"custom": {"weight": 1}}}}, "loss.terms.custom.entry: missing"),
        (
            {"loss": {"terms": {"custom": {"entry": "broken:Half", "weight": 1}}}},
            "loss.terms.custom.entry: broken:Half gives Half, which lacks statistics, value",
        ),
        (
            {"loss": {"terms": {"custom": {"entry": "broken:Vector"}}}},
            "loss.terms.custom.entry: broken:Vector: expected `value` to give a scalar tensor",
        ),
        ({"entry": "broken:Half"}, "entry: 'broken:Half' must take ()"),
    ],
)
def test_a_part_that_cannot_be_used_is_refused_by_its_path(page: Path, sections: dict[str, Any], words: str) -> None:
    (page / "broken.py").write_text(BROKEN)
    (page / "unimportable.py").write_text("1 / 0")
    try:
        told = refused(**sections)
    finally:
        sys.modules.pop("broken", None)
    assert words in told
    assert "\n" not in told


def test_names_are_as_strict_as_before(page: Path, call: Call) -> None:
    for setting, value, hint in (
        ("trial.model.name", "unett", "`unet`"),
        ("trial.data.format", "foldr", "`folder`"),
        ("trial.augment.set", "flip", "`flips`"),
    ):
        code, _, err = call("validate", "study.yaml", "--set", f"{setting}={value}")
        assert code == 2
        assert f"{setting}={value}: got the text '{value}'; did you mean {hint}?" in err
        assert "package.module:name of your own" in err
    code, _, err = call("validate", "study.yaml", "--set", "trial.model.name=field_kit.models:three_layers")
    assert code == 2
    assert "'field_kit.models:three_layers': field_kit.models has no three_layers; it has" in err


def test_an_audit_reads_a_format_of_ones_own(page: Path, call: Call) -> None:
    found = audited(call, "photos", "--format", "field_kit.formats:side_by_side", "--workspace", "w")
    assert "ground" in json.dumps(found)


@pytest.mark.slow
def test_a_study_of_ones_own_parts_runs_on_a_worker(tmp_path: Path) -> None:
    """From the folder that holds the package, by a command that has not got it on its path."""
    write_page(tmp_path)
    place = ready(tmp_path / "w")
    done = contourney("launch", "study.yaml", "--workspace", str(place), cwd=tmp_path, PYTHONSAFEPATH="1")
    assert done.returncode == 0, done.stdout + done.stderr
    trials = open_study("field-kit", Workspace.open(place)).trials
    assert [trial.user_attrs["reason"] for trial in trials] == ["finished", "finished"]
