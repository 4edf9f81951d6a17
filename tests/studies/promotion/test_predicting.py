"""`contourney predict` and `contourney export`: what they write, and what they refuse before anything is written."""

import hashlib
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from PIL import Image

from dashboards.masks import colour_mask
from search.storage import open_storage
from studies.files.study_settings import StudySettings
from studies.stored import save_settings
from studies.workspace import Workspace
from tests.studies.commands import Call, caller, scene
from trainables.data.formats.decode import decode_image, decode_mask
from trainables.fit import fit
from trainables.predictor import Predictor

NAME = "terrain"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a study of one trial that was really trained, and recorded as promoted."""
    place = Workspace.open(tmp_path_factory.mktemp("used") / "w")
    data = {"format": "terrain", "terrain": {"images": 12}}
    trial = {"epochs": 1, "data": data, "model": {"width": 2, "depth": 2}}
    settings = StudySettings.model_validate({"name": NAME, "trial": trial, "search": {"trials": 1}})
    folder = place.trial_folder(NAME, 0)
    list(fit(settings.trial, folder, place.cache))
    study = optuna.create_study(study_name=NAME, storage=open_storage(place.storage, write=True), direction="maximize")
    save_settings(study, settings)
    weights = hashlib.sha256((folder / "best.pt").read_bytes()).hexdigest()
    study.set_user_attr("promotion", {"trial": 0, "weights": weights})
    return place


@pytest.fixture
def predictor(trained: Workspace) -> Predictor:
    return Predictor.load(trained.trial_folder(NAME, 0) / "best.pt", torch.device("cpu"))


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, trained: Workspace, tmp_path: Path
) -> Call:
    monkeypatch.chdir(tmp_path)
    called = caller(capsys, monkeypatch)
    return lambda *arguments: called("predict", *arguments, "--workspace", str(trained.root))


@pytest.fixture
def call_export(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, trained: Workspace, tmp_path: Path
) -> Call:
    monkeypatch.chdir(tmp_path)
    called = caller(capsys, monkeypatch)
    return lambda *arguments: called("export", *arguments, "--workspace", str(trained.root))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Grey pictures of three sizes, as the model knows them."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, size in enumerate([(64, 128), (37, 50), (200, 90)]):
        Image.fromarray(scene(index, size)[0][..., 0]).save(folder / f"p{index}.png")
    return folder


def test_masks_are_the_models_own_with_a_palette(
    call: Call, pictures: Path, predictor: Predictor, tmp_path: Path
) -> None:
    code, out, err = call(NAME, str(pictures), "--output", "masks", "--overlay")
    assert code == 0, err
    assert out.splitlines()[0] == "wrote masks: 3 masks"
    assert "0 background, 1 soil" in out
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {
        *(f"p{i}.png" for i in range(3)), *(f"p{i}-overlay.png" for i in range(3))
    }  # fmt: skip
    for file in pictures.iterdir():
        image_HWC, written = decode_image(file), tmp_path / "masks" / file.name
        mask_HW = decode_mask(written)
        assert (mask_HW == predictor.mask(image_HWC)).all()
        with Image.open(written) as picture:
            assert picture.mode == "P"
            assert (np.asarray(picture.convert("RGB")) == colour_mask(mask_HW.astype(np.uint8))).all()
        overlay = decode_image(tmp_path / "masks" / f"{file.stem}-overlay.png").astype(float)
        assert overlay == pytest.approx((image_HWC + colour_mask(mask_HW.astype(np.uint8)).astype(float)) / 2, abs=0.5)


def test_a_path_to_weights_tiles_and_flips(
    call: Call, pictures: Path, predictor: Predictor, trained: Workspace, tmp_path: Path
) -> None:
    best = str(trained.trial_folder(NAME, 0) / "best.pt")
    code, _, err = call(best, str(pictures / "p2.png"), "--output", "out", "--tile", "64", "--overlap", "20", "--flip")
    assert code == 0, err
    expected = predictor.mask(decode_image(pictures / "p2.png"), flip=True, tiling=predictor.tiling(64, 20))
    assert (decode_mask(tmp_path / "out" / "p2.png") == expected).all()


def test_a_damaged_picture_is_passed_over_on_one_line(call: Call, pictures: Path, tmp_path: Path) -> None:
    whole = (pictures / "p0.png").read_bytes()
    (pictures / "p0.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "p1.png").write_bytes(b"no picture")
    code, out, err = call(NAME, str(pictures), "--output", "masks")
    assert code == 1
    assert out.splitlines()[0] == "wrote masks: 1 mask; passed over: 2"
    assert [line.split(":")[:2] for line in err.splitlines()] == [
        ["passed over", f" {pictures / f'p{index}.png'}"] for index in (0, 1)
    ]
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["p2.png"]


def test_what_is_there_is_replaced_only_when_asked(call: Call, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "p2.png").write_text("mine")
    code, _, err = call(NAME, str(pictures), "--output", "masks")
    assert code == 2
    assert "masks/p2.png is there already" in err
    assert (tmp_path / "masks" / "p2.png").read_text() == "mine"
    assert len(list((tmp_path / "masks").iterdir())) == 1
    assert call(NAME, str(pictures), "--output", "masks", "--overwrite")[0] == 0
    assert decode_mask(tmp_path / "masks" / "p2.png").shape == (200, 90)


def test_refusals_write_nothing(call: Call, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    Image.fromarray(scene(0)[0]).save(tmp_path / "colour.png")
    Image.fromarray(scene(0)[0][..., 0]).save(tmp_path / "p1.jpg")
    (tmp_path / "damaged.pt").write_bytes(b"no weights")
    cases = [
        ((NAME, "absent.png"), "absent.png is missing: expected a picture or a folder"),
        ((NAME, "empty"), "empty holds no picture"),
        ((NAME, str(pictures), "p1.jpg"), "would both be written to p1.png"),
        ((NAME, str(pictures), "colour.png"), "colour.png is a colour picture and the model knows grey ones"),
        (("other", str(pictures)), "no study 'other'"),
        (("gone.pt", str(pictures)), "gone.pt is missing"),
        (("damaged.pt", str(pictures)), "damaged.pt is no checkpoint"),
        (("models:/terrain@champion", str(pictures)), "there is no registry at"),
        (("models:/terrain", str(pictures)), "expected models:/NAME@ALIAS or models:/NAME/VERSION"),
        ((NAME, str(pictures), "--tile", "8", "--overlap", "6"), "--tile must be at least --overlap + 4"),
    ]
    for arguments, expected in cases:
        code, out, err = call(*arguments, "--output", "masks")
        assert (code, out) == (2, ""), arguments
        assert expected in err
        assert not (tmp_path / "masks").exists()
    # Their own folder is no place for their masks, whatever is asked.
    code, _, err = call(NAME, str(pictures), "--output", str(pictures), "--overwrite")
    assert code == 2
    assert "p0.png is a picture itself" in err


def test_a_study_that_was_not_promoted_says_so(call: Call, pictures: Path, trained: Workspace) -> None:
    study = optuna.create_study(study_name="new", storage=open_storage(trained.storage, write=True))
    save_settings(study, StudySettings(name="new"))
    code, _, err = call("new", str(pictures), "--output", "masks")
    assert code == 2
    assert "study 'new' has not been promoted: `contourney promote`" in err


def test_export_writes_what_was_checked(call_export: Call, trained: Workspace, tmp_path: Path) -> None:
    code, out, err = call_export(NAME, "--format", "pt2", "--output", "m.pt2")
    assert code == 0, err
    assert out.splitlines()[0] == "wrote m.pt2: images uint8 [N, 4·h, 4·w, 1] to logits fp32"
    assert "every class is the same, largest difference of logits" in out
    with np.load(trained.trial_folder(NAME, 0) / "pictures.npz") as kept:
        image = kept["image_0"]
    best = Predictor.load(trained.trial_folder(NAME, 0) / "best.pt", torch.device("cpu"))
    module = torch.export.load(tmp_path / "m.pt2").module()
    assert (module(torch.from_numpy(image[None])).argmax(dim=1)[0].numpy() == best.mask(image)).all()


def test_export_refuses_before_it_writes(call_export: Call, trained: Workspace, tmp_path: Path) -> None:
    (tmp_path / "mine.pt2").write_text("mine")
    (tmp_path / "alone.pt").write_bytes((trained.trial_folder(NAME, 0) / "best.pt").read_bytes())
    Image.fromarray(scene(0)[0]).save(tmp_path / "colour.png")
    cases = [
        ((NAME, "--output", "mine.pt2"), "mine.pt2 is there already"),
        ((NAME, "--output", "no/m.pt2"), "no is no folder"),
        (("alone.pt", "--output", "m.pt2"), "give one with --picture FILE"),
        ((NAME, "--output", "m.pt2", "--picture", "colour.png"), "expected a picture of shape [H, W, 1]"),
        ((NAME, "--output", "m.pt2", "--picture", "absent.png"), "absent.png"),
    ]
    for arguments, expected in cases:
        code, _, err = call_export(*arguments, "--format", "pt2")
        assert code == 2, arguments
        assert expected in err
    assert (tmp_path / "mine.pt2").read_text() == "mine"
    assert not (tmp_path / "m.pt2").exists()
