"""docs/extending.md, run as it stands: each example by itself, and a study of them on a Ray worker."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import FloatDistribution
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from PIL import Image

from search.bridge import Bridge, Rules
from search.budget import Budget
from search.pruners import Horizon
from studies.files.algorithms import study_pruner, study_sampler
from studies.files.space_checks import study_space
from studies.files.study_file import load_study, parse_study
from studies.stored import open_study
from studies.workspace import Workspace
from tests.search.tabulated import Records
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
    assert found == {"models.py", "losses.py", "augmentations.py", "formats.py", "training.py", "search.py"}


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


def test_the_sampler_and_the_pruner_of_the_page_steer_a_search(page: Path) -> None:
    settings = load_study("steered.yaml", (), {})
    space, fixed = study_space(settings), settings.trial.model_dump(mode="json")
    study = optuna.create_study(direction="maximize")
    study.sampler = study_sampler(settings.search, space.distributions)
    study.pruner = study_pruner(settings.search, Horizon(settings.trial.epochs))
    records = Records()
    rules, budget = Rules(settings.trial.epochs, settings.search.audit), Budget(settings.search.trials, None)
    bridge = Bridge(study, space, fixed, rules=rules, budget=budget, recorder=records, listener=records)
    while proposal := bridge.ask():
        trial = TrialSettings.model_validate(space.apply(fixed, proposal.values))
        run = TrialRun(trial, page / "trials" / str(proposal.number), page / "cache")
        while not bridge.report(proposal.number, run.next_row()).stop:
            pass
    first = study.trials[0].params["optimizer.lr"]
    again = study_sampler(settings.search, space.distributions)
    other = study_sampler(settings.search, space.distributions, asked=1)
    drawn = [one.sample_independent(study, study.trials[0], "lr", FloatDistribution(0, 1)) for one in (again, other)]
    assert drawn[0] != drawn[1]
    assert 0.05 <= first <= 0.5
    # The share of class 1 after an epoch is known in closed form: the higher the rate, the better.
    best = first
    for trial in study.trials[1:]:
        assert abs(trial.params["optimizer.lr"] - best) <= 0.3 * 0.45
        if trial.state is TrialState.COMPLETE:
            best = max(best, trial.params["optimizer.lr"])
        else:
            assert trial.params["optimizer.lr"] < first
            assert trial.last_step == 2
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}


BROKEN_SEARCH = """
from optuna.samplers import BaseSampler, RandomSampler
from optuna.pruners import NopPruner

thing = 3
class NoSampler: ...
class Unfinished(BaseSampler): ...
class Picky(RandomSampler):
    def __init__(self, shape, width=1, seed=None):
        if width < 0: raise ValueError("width must not be\\n negative")
class Open(RandomSampler):
    def __init__(self, **options): super().__init__()
def made(): return NopPruner()
def odd(): return 5
"""


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("sampler", "name: 'nowhere.at:X'", "search.sampler.name: 'nowhere.at:X' cannot be imported: there is no"),
        ("sampler", "name: 'kit_search:'", "search.sampler.name: got 'kit_search:', expected package.module:name"),
        ("sampler", "name: 'kit_search:gone'", "search.sampler.name: 'kit_search:gone': kit_search has no gone"),
        ("sampler", "name: 'kit_search:thing'", "search.sampler.name: 'kit_search:thing': kit_search holds no"),
        (
            "sampler",
            "name: 'kit_search:NoSampler'",
            "search.sampler.name: 'kit_search:NoSampler' is no optuna.sam",
        ),
        ("pruner", "name: 'kit_search:NoSampler'", "'kit_search:NoSampler' is no optuna.pruners.BasePruner"),
        ("sampler", "name: 'kit_search:Unfinished'", "search.sampler.name: kit_search:Unfinished cannot be made with"),
        ("sampler", "name: 'kit_search:Picky'", "search.sampler: kit_search:Picky needs the argument shape"),
        ("sampler", "{name: 'kit_search:Picky', shape: 1, widht: 2}", "search.sampler.widht: kit_search:Picky has no"),
        ("sampler", "{name: 'kit_search:Picky', shape: 1, seed: 2}", "search.sampler.seed: derived from search.seed"),
        ("sampler", "{name: 'kit_search:Picky', shape: 1, width: -1}", "ValueError: width must not be negative"),
        (
            "pruner",
            "name: 'kit_search:odd'",
            "search.pruner.name: kit_search:odd gives int, expected an optuna.pru",
        ),
    ],
)
def test_a_sampler_or_pruner_that_cannot_be_used_is_refused_by_its_path(
    page: Path, call: Call, kind: str, settings: str, words: str
) -> None:
    (page / "kit_search.py").write_text(BROKEN_SEARCH)
    text = (page / "steered.yaml").read_text()
    mapping = settings if settings.startswith("{") else f"{{{settings}}}"
    changed = re.sub(rf"^  {kind}: .*$", f"  {kind}: {mapping}", text, flags=re.MULTILINE)
    (page / "broken.yaml").write_text(changed)
    try:
        for command in (["validate", "broken.yaml"], ["launch", "broken.yaml", "--workspace", "w"]):
            code, _, err = call(*command)
            assert code == 2
            assert words in err
            assert len(err.splitlines()) == 1
            assert not (page / "w").exists()
    finally:
        sys.modules.pop("kit_search", None)


def test_a_function_may_make_them_and_take_whatever_it_likes(page: Path) -> None:
    (page / "kit_search.py").write_text(BROKEN_SEARCH)
    try:
        text = (page / "steered.yaml").read_text()
        text = text.replace("field_kit.search:NearTheBest", "kit_search:Open")
        text = re.sub("pruner: .*", "pruner: {name: 'kit_search:made'}", text)
        search = parse_study(text, "steered.yaml", "s").search
        assert isinstance(study_sampler(search, {}), RandomSampler)
        assert isinstance(study_pruner(search, Horizon(3)), NopPruner)
    finally:
        sys.modules.pop("kit_search", None)


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
        ({"model": {"name": "script:net"}}, "model.name: script cannot be imported: SystemExit: 3"),
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
    (page / "script.py").write_text("import sys; sys.exit(3)")
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
