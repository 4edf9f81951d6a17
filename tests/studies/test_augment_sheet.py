"""The sheet of an augmentation set: what it shows, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studies.augment_sheet import LINE, MARGIN, TILE_WIDTH, VERSIONS, headings, write_sheet
from studies.files.study_file import parse_study
from tests.studies.commands import Call, caller
from trainables.data.augment import augment, build_pipeline
from trainables.data.augment_settings import AugmentSettings, OversampleSettings
from trainables.data.dataset import prepare
from trainables.data.settings import DataSettings, TerrainSettings
from trainables.data.splits import Split


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


def test_the_first_column_is_the_images_and_the_next_what_a_trial_sees(tmp_path: Path) -> None:
    settings = DataSettings(format="terrain", terrain=TerrainSettings(images=12), size=(130, TILE_WIDTH))
    data = prepare(settings, Split.TRAIN, tmp_path / "cache")
    augmentation = AugmentSettings(set="mars_mirror", strength=2.0)
    write_sheet(data, augmentation, 5, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    # At this size a tile is the image itself; the headings are three lines.
    top, left = MARGIN + 4 * LINE, MARGIN
    tile = sheet[top : top + 130, left : left + TILE_WIDTH]
    assert (tile == data.images_NHWC[0]).all()
    pipeline = build_pipeline(augmentation, (130, TILE_WIDTH))
    expected, _ = augment(pipeline, np.array(data.images_NHWC[0]), np.array(data.masks_NHW[0]), (5, 1, 0))
    left += TILE_WIDTH + 8
    assert (sheet[top : top + 130, left : left + TILE_WIDTH] == expected).all()
    assert sheet.shape[1] == 2 * MARGIN + (VERSIONS + 1) * (TILE_WIDTH + 8) - 8


def test_a_sheet_of_a_recipe_and_of_its_own_set(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, more in (("a.webp", ("--set", "mars_distort")), ("b.png", ())):
        code, out, err = call("augment", "terrain-demo", *more, "--output", name)
        assert (code, out.strip()) == (0, name), err
        assert Image.open(name).size[0] > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.webp", "b.png", "workspace"]


def test_a_recipe_whose_weights_are_not_there_yet_has_a_sheet(call: Call, tmp_path: Path, shared: Path) -> None:
    output = str(tmp_path / "sheet.jpg")
    data = ("--data", str(shared / "data" / "camvid"), "--workspace", str(tmp_path))
    code, _, err = call("augment", "camvid-mobilenetv2", *data, "--set", "strong", "--output", output)
    assert code == 0, err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--set", "stong", "--output", "a.png"),
            "--set stong: no such set; did you mean `strong`? accepted: none, flips",
        ),
        (("--set", "custom", "--output", "a.png"), "--set custom: no such set"),
        (("--output", "a.gif"), "--output a.gif: expected a name that ends in .png, .jpg"),
        (("--output", "nowhere/a.png"), "--output nowhere/a.png: no folder nowhere"),
    ],
)
def test_refusals(
    call: Call, arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = call("augment", "terrain-demo", *arguments)
    assert code == 2
    assert message in err
    assert not list(tmp_path.iterdir())


OWN = """\
trial:
  data: {format: terrain}
  augment:
    pipeline:
      transform:
        __class_fullname__: Compose
        transforms:
          - {__class_fullname__: HorizontalFlip, p: 0.5}
          - __class_fullname__: OneOf
            p: 0.25
            transforms:
              - {__class_fullname__: Rotate, limit: [-9, 9], p: 0.5}
              - {__class_fullname__: GaussianBlur, p: 0.5}
space:
  augment.set: {choices: [none, SET]}
search: {trials: 1}
"""


def test_a_pipeline_of_one_s_own_is_searched_beside_named_sets_and_drawn(call: Call, tmp_path: Path) -> None:
    file, output = tmp_path / "own.yaml", tmp_path / "own.png"
    file.write_text(OWN.replace("SET", "custom"))
    assert call("validate", str(file))[0] == 0
    arguments = ("--set", "custom", "--output", str(output), "--workspace", str(tmp_path))
    code, _, err = call("augment", str(file), *arguments)
    assert code == 0, err
    assert Image.open(output).size[1] > 500


def test_a_pipeline_that_nothing_uses_is_refused(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(OWN.replace("SET", "flips"))
    code, _, err = call("validate", str(file))
    assert code == 2
    assert "trial.augment.pipeline: given, but augment.set is none and never custom; set trial.augment.set" in err


def test_ignored_pixels_are_hatched(tmp_path: Path) -> None:
    settings = DataSettings(format="terrain", terrain=TerrainSettings(images=12), size=(130, TILE_WIDTH))
    data = prepare(settings, Split.TRAIN, tmp_path / "cache")
    affine = {"__class_fullname__": "Affine", "translate_percent": [0.5, 0.5], "p": 1.0}
    form = {"transform": {"__class_fullname__": "Compose", "transforms": [affine]}}
    write_sheet(data, AugmentSettings(set="custom", pipeline=form), 0, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    top, left = MARGIN + 4 * LINE + 130, MARGIN + TILE_WIDTH + 8
    # Moved by half to the right and down: the upper left quarter came in from outside.
    outside = sheet[top : top + 60, left : left + TILE_WIDTH // 2 - 5]
    assert set(np.unique(outside)) == {105, 215}
    assert 0.2 < (outside == 215).mean() < 0.3


def test_the_heading_names_every_transform_with_its_probability_and_how_often_images_come() -> None:
    own = parse_study(OWN.replace("SET", "custom"), "own.yaml", "own").trial.augment
    oversample = OversampleSettings(classes=("big rock",), times=24)
    settings = own.model_copy(update={"set": "custom", "strength": 0.5, "copies": 3, "oversample": oversample})
    assert headings(build_pipeline(settings, (16, 16)), settings) == [
        "augment.set custom, strength 0.5, 3 copies of each image, 24 times as many with big rock",
        "probabilities: HorizontalFlip 0.25, OneOf[Rotate | GaussianBlur] 0.125",
    ]
