"""Shipped recipes: each is valid as shipped, and FILE is found as a path or by name."""

from pathlib import Path

import pytest

from studies.files.problems import StudyFileError
from studies.files.recipe_files import recipe_names, recipe_summary, recipe_text, resolve
from studies.files.space_checks import study_space
from studies.files.study_file import load_study


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return shared / "weights" / "mobilenetv2_100_imagenet.safetensors"


def test_the_names():
    assert recipe_names() == [
        "camvid-mobilenetv2",
        "camvid-unet",
        "mars-flagship",
        "mars-ignore-index",
        "mars-no-background",
        "sunrgbd-convnext",
        "sunrgbd-unet",
        "terrain-demo",
        "terrain-reports",
        "voc-fcn",
    ]


def test_terrain_demo_needs_nothing():
    study = load_study("terrain-demo")
    assert study.name == "terrain-demo"
    assert study.trial.data.format == "terrain"
    assert study.search.trials == 12
    assert study.trial.epochs <= 9


def test_camvid_unet_is_the_promised_study():
    study = load_study("camvid-unet")
    assert (study.trial.model.width, study.trial.data.size) == (16, (120, 160))
    assert (study.search.trials, study.trial.epochs, study.resources.workers) == (24, 12, 2)
    assert study.space["optimizer.lr"].log
    assert "none" in study.space["augment.set"].choices
    assert "none" not in study.space["augment.strength"].conditions["augment.set"]


def test_camvid_mobilenetv2_searches_all_five_knobs(weights):
    study = load_study("camvid-mobilenetv2", [f"trial.model.weights={weights}"])
    assert (study.search.trials, study.trial.epochs) == (16, 4)
    searched = set(study_space(study).distributions)
    knobs = {
        "optimizer.lr",
        "schedule.name",
        "loss.class_weights",
        "loss.terms.dice.weight",
        "augment.set",
        "model.unfreeze",
    }
    assert knobs <= searched
    assert study.space["model.unfreeze"].choices == ("decoder", "stage4", "stage3", "all")


def test_missing_weights_say_how_to_give_them(weights):
    with pytest.raises(StudyFileError, match=r"trial\.model\.weights: .*mobilenetv2_100_imagenet\.safetensors"):
        load_study("camvid-mobilenetv2")


def test_default_search_is_left_to_the_defaults():
    for name in recipe_names():
        text = recipe_text(name)
        assert "sampler" not in text
        assert "pruner" not in text


@pytest.mark.parametrize("name", recipe_names())
def test_headers_state_command_hardware_time_and_figures(name):
    text = recipe_text(name)
    assert f"contourney launch {name}" in text or f"contourney rows {name}" in text
    for word in ("# hardware:", "# time:", "# expected:"):
        assert word in text
    assert recipe_summary(name)[0].isupper()


def test_a_file_goes_before_a_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve("terrain-demo") == (recipe_text("terrain-demo"), "recipe terrain-demo")
    Path("terrain-demo").write_text("name: mine\n", encoding="utf-8")
    assert resolve("terrain-demo") == ("name: mine\n", "terrain-demo")


def test_a_folder_of_that_name_hides_no_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("terrain-demo").mkdir()
    assert resolve("terrain-demo")[1] == "recipe terrain-demo"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "terrain-dmo",
            r"terrain-dmo: no such file and no recipe of that name; did you mean `terrain-demo`\? recipes: ",
        ),
        (
            "none.yaml",
            r"none\.yaml: no such file and no recipe of that name; recipes: camvid-mobilenetv2, camvid-unet, ",
        ),
        (".", r"\.: a folder, not a study file"),
        ("x" * 300, r"no such file"),
        ("a\0b", r"no such file"),
        ("", r"no such file"),
    ],
)
def test_what_cannot_be_found(file, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyFileError, match=message):
        resolve(file)


def test_what_is_no_text(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(StudyFileError, match=r"a\.yaml: expected text in UTF-8, byte 6 is none"):
        resolve(path)


def test_an_unknown_recipe():
    with pytest.raises(StudyFileError, match=r"no recipe `camvid_unet`; did you mean `camvid-unet`\?"):
        recipe_text("camvid_unet")
