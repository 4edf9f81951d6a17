"""`contourney pseudo-label`: a promoted trial's predictions, for images that have no masks."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from PIL import Image

from search.storage import open_storage
from studies.files.problems import StudyFileError
from studies.files.study_file import load_study
from studies.files.study_settings import StudySettings
from studies.pseudo_label import folder_images, predict
from studies.running.facts import check_same_data, gather_facts
from studies.stored import StudyError, save_settings
from studies.workspace import Workspace
from tests.miniatures import write_npz
from tests.studies.commands import Call, caller, write_scenes
from trainables.data.dataset import prepare, split_data
from trainables.data.errors import DataError
from trainables.data.pseudo_labels import read_origin, read_pseudo_labels, write_pseudo_labels
from trainables.data.settings import DataSettings
from trainables.data.splits import Split
from trainables.fit import fit
from trainables.predictor import Predictor

NAME = "mars"
CLASSES = ["background", "soil", "bedrock", "sand", "big rock"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a study of one trial that was really trained, and recorded as promoted."""
    root = tmp_path_factory.mktemp("pseudo")
    write_npz(root / "mars.npz", images=24, unlabelled=5, size=(32, 64))
    place = Workspace.open(root / "w")
    data = {"format": "npz", "root": str(root / "mars.npz"), "size": [16, 32], "classes": CLASSES}
    trial = {"epochs": 1, "data": data, "model": {"width": 2, "depth": 1}}
    settings = StudySettings.model_validate({"name": NAME, "trial": trial, "search": {"trials": 1}})
    list(fit(settings.trial, place.trial_folder(NAME, 0), place.cache))
    study = optuna.create_study(study_name=NAME, storage=open_storage(place.storage, write=True), direction="maximize")
    study.set_user_attr("facts", gather_facts(settings, place))
    save_settings(study, settings)
    promote(root)
    return root


def promote(root: Path, **record: Any) -> None:
    place = Workspace.open(root / "w")
    best = (place.trial_folder(NAME, 0) / "best.pt").read_bytes()
    promotion = {"trial": 0, "weights": hashlib.sha256(best).hexdigest(), **record}
    storage = open_storage(place.storage, write=True)
    optuna.load_study(study_name=NAME, storage=storage).set_user_attr("promotion", promotion)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, trained: Path, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    called = caller(capsys, monkeypatch)
    return lambda *arguments: called("pseudo-label", *arguments, "--workspace", str(trained / "w"))


def settings_with(trained: Path, file: Path, confidence: float) -> Any:
    data = {"format": "npz", "root": str(trained / "mars.npz"), "size": [16, 32], "classes": CLASSES}
    clean = {"pseudo_labels": {"file": str(file), "confidence": confidence}}
    return StudySettings.model_validate({"trial": {"data": {**data, "clean": clean}}}).trial.data


def test_unlabelled_images_become_training_images(call: Call, trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.npz"
    code, out, err = call(NAME, "--output", str(file))
    assert code == 0, err
    assert "5 images" in out
    origin, found = read_origin(file), read_pseudo_labels(file)
    assert (origin.study, origin.trial, origin.class_names) == (NAME, 0, tuple(CLASSES))
    assert found.images_NHWC.shape == (5, 16, 32, 1)
    cache = trained / "w" / "cache"
    # Every pixel is sure by 0.2 at least: the likeliest of five classes.
    data = prepare(settings_with(trained, file, 0.2), Split.TRAIN, cache)
    plain = split_data(settings_with(trained, file, 0.2), Split.TRAIN, cache)
    assert len(data.names) == len(plain.names) + 5
    assert (data.masks_NHW[-5:] == found.labels_NHW).all()
    sure = [float((found.confidence_NHW >= share).mean()) for share in (0.0, 0.3, 1.0)]
    assert sure[0] == 1.0
    counted = prepare(settings_with(trained, file, 0.3), Split.TRAIN, cache)
    added = counted.pixels_NK[len(plain.names) :].sum()
    # Classes are counted at the masks' own size, four times the pixels.
    assert added == 4 * int((found.confidence_NHW >= np.float16(0.3)).sum())


def test_labels_are_the_models_own_likeliest_class(call: Call, trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.npz"
    assert call(NAME, "--output", str(file))[0] == 0
    found = read_pseudo_labels(file)
    predictor = Predictor.load(Workspace.open(trained / "w").trial_folder(NAME, 0) / "best.pt", torch.device("cpu"))
    for image, label in zip(found.images_NHWC, found.labels_NHW, strict=True):
        assert (predictor.mask(image) == label).all()
    with torch.no_grad():
        logits = predictor.inference.logits(found.images_NHWC[:1]).double().numpy()[0]
    odds = np.exp(logits - logits.max(axis=0))
    assert found.confidence_NHW[0] == pytest.approx((odds / odds.sum(axis=0)).max(axis=0), abs=2e-3)
    labels, confidence = predict(found.images_NHWC, predictor)
    assert (labels == found.labels_NHW).all()
    assert confidence.dtype == np.float16


def test_a_folder_of_images_of_any_size(call: Call, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index, size in enumerate(((40, 80), (16, 32), (30, 50))):
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(folder / f"p{index}.png")
    code, _, err = call(NAME, "--images", str(folder), "--output", "labels.npz")
    assert code == 0, err
    found = read_pseudo_labels(tmp_path / "labels.npz")
    assert found.names == ("p0", "p1", "p2")
    assert found.images_NHWC.shape == (3, 16, 32, 1)
    Image.fromarray(rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)).save(folder / "colour.png")
    code, _, err = call(NAME, "--images", str(folder), "--output", "labels.npz")
    assert code == 2
    assert "'colour' has 3 channels, the model knows 1" in err


def test_what_cannot_be_used_is_refused(call: Call, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    place = Workspace.open(trained / "w")
    for arguments, words in (
        ([NAME, "--images", "empty"], "holds no images"),
        ([NAME, "--images", "absent"], "absent is missing"),
        ([NAME, "--data", "absent.npz"], "absent.npz"),
        (["other"], "no study 'other'"),
    ):
        code, _, err = call(*arguments, "--output", "labels.npz")
        assert code == 2, err
        assert words in err
    try:
        promote(trained, refit=True)
        code, _, err = call(NAME, "--output", "labels.npz")
        assert code == 2
        assert "was refit on training and validation images" in err
        promote(trained, weights="0" * 64)
        code, _, err = call(NAME, "--output", "labels.npz")
        assert code == 2
        assert "best.pt is not what was promoted" in err
        optuna.load_study(study_name=NAME, storage=open_storage(place.storage, write=True)).set_user_attr(
            "promotion", None
        )
        code, _, err = call(NAME, "--output", "labels.npz")
        assert code == 2
        assert "has not been promoted" in err
    finally:
        promote(trained)
    assert not (tmp_path / "labels.npz").exists()


def test_images_of_the_data_set_itself_are_refused(tmp_path: Path) -> None:
    data = write_scenes(tmp_path / "data", count=4)
    settings = DataSettings(format="folder", root=str(data))
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "innocent.png").symlink_to(data / "images" / "02.png")
    with pytest.raises(DataError, match=r"1 images of the data set itself, such as innocent\.png"):
        folder_images(tmp_path / "links", settings)
    with pytest.raises(DataError, match="4 images of the data set itself"):
        folder_images(data / "images", settings)


def test_a_study_does_not_go_on_with_other_pseudo_labels(call: Call, trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.npz"
    assert call(NAME, "--output", str(file))[0] == 0
    settings = StudySettings.model_validate({"trial": {"data": settings_with(trained, file, 0.5).model_dump()}})
    before = gather_facts(settings, Workspace.open(trained / "w"))
    check_same_data("s", before, gather_facts(settings, Workspace.open(trained / "w")))
    found = read_pseudo_labels(file)
    other = replace(found, labels_NHW=(found.labels_NHW + 1) % 5)
    write_pseudo_labels(file, other, tuple(CLASSES), before["fingerprints"]["train"], NAME, 0)
    with pytest.raises(StudyError, match=r"pseudo-labels of study 's' .* are not those it was launched with"):
        check_same_data("s", before, gather_facts(settings, Workspace.open(trained / "w")))


@pytest.mark.parametrize(
    ("path", "gate"),
    [
        ("data.clean.refine.variation", "data.clean.refine.radius"),
        ("data.clean.pseudo_labels.confidence", "data.clean.pseudo_labels.file"),
    ],
)
def test_what_does_nothing_without_its_step_is_not_searched(path: str, gate: str) -> None:
    override = f"space.{path}={{low: 0.1, high: 0.9}}"
    with pytest.raises(StudyFileError, match=f"does nothing while {gate} is"):
        load_study("terrain-demo", [override])
    assert (
        path
        in load_study("terrain-demo", [override, f"trial.{gate}=1" if "radius" in gate else f"trial.{gate}=f"]).space
    )
