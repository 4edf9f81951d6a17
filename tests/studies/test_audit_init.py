"""`contourney init`: a study file that validates, and whose data a launch has nothing against."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from studies.files.study_file import load_study
from studies.files.study_settings import StudySettings
from studies.running.facts import accepted_leak, gather_facts
from studies.workspace import Workspace
from tests.miniatures import write_npz, write_voc2012
from tests.studies.commands import Call, caller, save, scene, write_scenes

PROBLEM_FREE = {"optimizer.lr", "schedule.name", "loss.class_weights", "loss.terms.dice.weight", "augment.set"}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    return caller(capsys, monkeypatch)


def ready(call: Call, file: str = "study.yaml") -> StudySettings:
    """The study of a written file, after what a launch asks of it before its first trial."""
    code, out, err = call("validate", file)
    assert code == 0, err
    assert "valid:" in out
    study = load_study(file)
    place = Workspace.open(Path("w"))
    assert all(gather_facts(study, place)["images"].values())
    assert accepted_leak(study, place, False) is None
    assert set(study.space) >= PROBLEM_FREE
    return study


def test_a_sound_folder(call: Call, tmp_path: Path) -> None:
    data = write_scenes(tmp_path / "data")
    code, out, err = call("init", "data")
    assert code == 0, err
    assert "next: contourney launch study.yaml" in out
    study = ready(call)
    assert study.name == "study"
    assert study.trial.data.root == str(data)
    assert (study.trial.data.format, study.trial.data.split, study.trial.data.size) == ("folder", "random", None)
    assert study.trial.data.drop == ()
    assert study.trial.model.name == "unet"
    assert Path("study.yaml").read_text().count("#") > 10


def test_it_never_overwrites(call: Call, tmp_path: Path) -> None:
    write_scenes(tmp_path / "data")
    Path("study.yaml").write_text("mine")
    code, _, err = call("init", "data")
    assert code == 2
    assert "study.yaml exists and is not overwritten; name another place with --output" in err
    assert Path("study.yaml").read_text() == "mine"
    assert call("init", "data", "--output", "deep/other.yaml")[0] == 0
    assert load_study("deep/other.yaml").name == "other"


def test_flawed_images_are_left_out_and_numbers_stay_names(call: Call, tmp_path: Path) -> None:
    data = write_scenes(tmp_path / "data")
    for name, seed in (("03", 901), ("04", 902), ("05", 903)):
        save(data, name, scene(seed)[0], scene(900)[1])
    # A missing mask is known by name, also in the test split: the pool that is divided must be whole.
    (data / "masks" / "20.png").unlink()
    assert call("init", "data", "--set", "data.shares=[0.6, 0.4, 0.0]")[0] == 0
    study = ready(call)
    assert study.trial.data.drop == ("03", "04", "05", "20")
    assert study.trial.data.shares == (0.6, 0.4, 0.0)


def test_large_images_of_many_sizes_get_one_size(call: Call, tmp_path: Path) -> None:
    write_voc2012(tmp_path / "voc", size=(320, 500))
    code, _, err = call("init", "voc", "--format", "voc2012")
    assert code == 0, err
    study = ready(call)
    assert study.trial.data.size in ((160, 256), (256, 160))
    assert study.trial.data.classes is None


def test_classes_without_names_are_numbered_and_said(call: Call, tmp_path: Path) -> None:
    write_scenes(tmp_path / "data", names=())
    assert call("init", "data")[0] == 0
    assert ready(call).trial.data.classes == ("class_0", "class_1")
    assert "no names were found: give them in this order" in Path("study.yaml").read_text()


def test_an_npz_file_and_the_generated_set(call: Call, tmp_path: Path) -> None:
    write_npz(tmp_path / "mars.npz", images=24, size=(32, 64))
    options = ("--set", "data.classes=[background, soil, bedrock, sand, big rock]")
    code, _, err = call("init", "mars.npz", *options, "--output", "mars.yaml")
    assert code == 0, err
    assert ready(call, "mars.yaml").trial.data.format == "npz"
    assert call("init", "terrain", "--set", "data.terrain={images: 40, contaminated: 0.3}")[0] == 0
    study = ready(call)
    assert study.trial.data.terrain.images == 40
    assert len(study.trial.data.drop) > 4
    assert study.trial.data.root is None


def test_a_video_in_a_folder_is_split_by_blocks(call: Call, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_scenes(data, count=0)
    # A camera that pans over wide scenes, a pixel a frame.
    for sequence in ("a", "b"):
        rng = np.random.default_rng(ord(sequence))
        wide = cv2.GaussianBlur(rng.standard_normal((24, 240)).astype(np.float32), (0, 0), 3)
        for frame in range(200):
            view = wide[:, frame : frame + 32]
            grey = np.clip(128 + 250 * view, 0, 255).astype(np.uint8)
            save(data, f"{sequence}_{frame:05d}", np.repeat(grey[..., None], 3, axis=2), (view > 0).astype(np.uint8))
    code, _, err = call("init", "data")
    assert code == 0, err
    study = ready(call)
    assert (study.trial.data.split, study.trial.data.gap) == ("blocks", 30)
    assert study.trial.data.drop == ()


def test_with_weights_all_five_knobs_are_searched(call: Call, tmp_path: Path, shared: Path) -> None:
    write_scenes(tmp_path / "data")
    weights = shared / "weights" / "mobilenetv2_100_imagenet.safetensors"
    code, _, err = call("init", "data", "--weights", str(weights))
    assert code == 0, err
    study = ready(call)
    assert study.trial.model.encoder == "mobilenetv2_100"
    assert study.trial.data.normalize == "imagenet"
    assert "model.unfreeze" in study.space


def test_masks_that_are_no_ids_and_unknown_labels_need_a_decision(call: Call, tmp_path: Path) -> None:
    data = write_scenes(tmp_path / "data", names=())
    for index in range(30):
        image, mask = scene(index)
        save(data, f"{index:02d}", image, mask * 255)
    code, _, err = call("init", "data")
    assert code == 2
    assert "the masks hold the values 0, 255: expected label ids 0, 1, 2, ..." in err
    (data / "classes.txt").write_text("dark")
    for index in range(30):
        save(data, f"{index:02d}", *scene(index))
    code, _, err = call("init", "data")
    assert code == 2
    assert "labels that are no class, such as" in err
    assert "--set data.ignore_index=N" in err
    assert not Path("study.yaml").exists()


def test_nothing_left_is_refused(call: Call, tmp_path: Path) -> None:
    data = write_scenes(tmp_path / "data", count=10)
    for index in range(10):
        save(data, f"{index:02d}", scene(index)[0], scene(99)[1])
    code, _, err = call("init", "data")
    assert code == 2
    assert "nothing is left of train and validation without the 8 images" in err
