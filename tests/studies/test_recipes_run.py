"""Every recipe trains for one epoch, through the command line, on small files in the true format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dashboards.report import write_report
from search.records.study import read_study
from studies.files.recipe_files import recipe_names
from studies.results import study_status
from studies.workspace import Workspace
from tests.miniatures import write_npz, write_sunrgbd, write_voc2012
from tests.studies.running import contourney, ready

pytestmark = pytest.mark.slow

SMALL_UNET = ("trial.model.width=2", "trial.model.depth=2")


def camvid(root: Path) -> list[str]:
    rng = np.random.default_rng(0)
    (root / "classes.txt").parent.mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(f"{k} class{k}" for k in range(12)))
    for split, start in (("train", 0), ("val", 3000), ("test", 6000)):
        for frame in range(start, start + 3000, 300):
            for folder, pixels in (
                (split, rng.integers(0, 255, (24, 32, 3))),
                (f"{split}annot", rng.integers(0, 12, (24, 32))),
            ):
                (root / folder).mkdir(exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(root / folder / f"0001TP_{frame:06d}.png")
    return ["trial.data.size=[24, 32]"]


def camvid_over_imagenet(root: Path) -> list[str]:
    import timm

    path = root.parent / "mobilenetv2_100.safetensors"
    save_file(timm.create_model("mobilenetv2_100").state_dict(), path)
    return [*camvid(root), f"trial.model.weights={path}"]


def sunrgbd(root: Path) -> list[str]:
    write_sunrgbd(root, training=12, testing=4)
    return ["trial.data.size=[32, 40]", "trial.batch_size=4", *SMALL_UNET]


def sunrgbd_over_ade(root: Path) -> list[str]:
    """With a file in the layout of `openmmlab/upernet-convnext-tiny`: 150 classes, random weights."""
    from transformers import ConvNextConfig, UperNetConfig, UperNetForSemanticSegmentation

    stages = ["stage1", "stage2", "stage3", "stage4"]
    # The sizes are tiny's, the defaults; as a list, which the class itself needs.
    backbone = ConvNextConfig(hidden_sizes=[96, 192, 384, 768], depths=[3, 3, 9, 3], out_features=stages)
    config = UperNetConfig(backbone_config=backbone, num_labels=150)
    path = root.parent / "pytorch_model.bin"
    torch.save(UperNetForSemanticSegmentation(config).state_dict(), path)
    write_sunrgbd(root, training=12, testing=4)
    return ["trial.data.size=[32, 40]", "trial.batch_size=4", f"trial.model.weights={path}"]


def voc(root: Path) -> list[str]:
    write_voc2012(root)
    return ["trial.data.size=[64, 64]", "trial.batch_size=4"]


def mars(root: Path) -> list[str]:
    write_npz(root, images=24)
    return ["trial.batch_size=4", *SMALL_UNET]


def mars_80_20(root: Path) -> list[str]:
    # A draw whose validation images happen to look like none of training's, or the launch would be refused.
    return [*mars(root), "trial.data.split_seed=3"]


def generated(root: Path) -> list[str]:
    return ["trial.data.terrain.images=24", "trial.batch_size=4"]


MINIATURES: dict[str, Callable[[Path], list[str]]] = {
    "camvid-mobilenetv2": camvid_over_imagenet,
    "camvid-unet": camvid,
    "mars-flagship": mars,
    "mars-ignore-index": mars,
    "mars-no-background": mars_80_20,
    "sunrgbd-convnext": sunrgbd_over_ade,
    "sunrgbd-unet": sunrgbd,
    "terrain-demo": generated,
    "terrain-reports": generated,
    "voc-fcn": voc,
}


def test_no_recipe_is_left_out():
    assert sorted(MINIATURES) == recipe_names()


@pytest.mark.parametrize("recipe", MINIATURES)
def test_a_recipe_trains_one_trial_and_its_report_is_written(recipe, tmp_path):
    data = tmp_path / ("data.npz" if recipe.startswith("mars") else "data")
    settings = [*MINIATURES[recipe](data), "trial.epochs=1", "resources.workers=1"]
    place = ("--data", str(data)) if data.exists() else ()
    sets = [word for setting in settings for word in ("--set", setting)]
    root = ready(tmp_path / "w")
    done = contourney("launch", recipe, *place, "--trials", "1", *sets, "--workspace", str(root), "--quiet")
    assert done.returncode == 0, done.stderr
    workspace = Workspace.open(root)
    found = study_status(recipe, workspace)
    assert found["counts"]["COMPLETE"] == 1, found["errors"]
    write_report(read_study(workspace.storage, recipe, root), tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 0
