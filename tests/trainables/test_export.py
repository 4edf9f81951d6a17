"""Exported models give the model's own logits, for any number of pictures and any size where that is possible."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainables.conftest import MakeSettings
from trainables import export as exporting
from trainables.export import ExportError, compare, export_model
from trainables.inference import place
from trainables.models.build import build_model
from trainables.models.segmentation_net import SegmentationNet
from trainables.predictor import PictureError, Predictor

CLASSES = ("road", "sky", "grass")


@pytest.fixture
def make(terrain_settings: MakeSettings) -> Any:
    def made(size: tuple[int, int] | None = None, channels: int = 3, **model: Any) -> Predictor:
        torch.manual_seed(1)
        settings = terrain_settings(
            model={"name": "unet", "width": 2, "depth": 2, **model},
            data={"format": "terrain", "normalize": "imagenet"},
        )
        net = build_model(settings.model, channels, len(CLASSES)).eval()
        return Predictor(place(net, settings, torch.device("cpu")), size, channels, CLASSES)

    return made


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def run_pt2(path: Path, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(torch.export.load(path).module()(torch.from_numpy(images)))


@pytest.mark.slow
def test_pt2_takes_any_number_and_size_of_pictures(make: Any, tmp_path: Path) -> None:
    predictor = make()
    found = export_model(predictor, picture(21, 31), "pt2", tmp_path / "m.pt2")
    assert (found.size, found.channels, found.notes) == (("4·h", "4·w"), 3, ())
    assert found.difference < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]
    images = np.stack([picture(40, 64, seed=seed) for seed in range(4)])
    logits = run_pt2(tmp_path / "m.pt2", images)
    for image, given in zip(images, logits, strict=True):
        assert given == pytest.approx(predictor.logits(image).numpy(), abs=1e-5)
    extra = {"class_names.json": ""}
    torch.export.load(tmp_path / "m.pt2", extra_files=extra)
    assert json.loads(extra["class_names.json"]) == list(CLASSES)


def test_a_model_that_resizes_is_exported_at_its_size(make: Any, tmp_path: Path) -> None:
    predictor = make(size=(18, 30), channels=1)
    found = export_model(predictor, picture(50, 61, 1), "pt2", tmp_path / "m.pt2")
    assert (found.size, found.channels) == (("18", "30"), 1)
    assert "pictures must be resized to this size before" in found.notes[0]
    image = picture(18, 30, 1, seed=4)
    assert run_pt2(tmp_path / "m.pt2", image[None])[0] == pytest.approx(predictor.logits(image).numpy(), abs=1e-5)


def test_a_picture_too_small_for_free_sizes_fixes_them(make: Any, tmp_path: Path) -> None:
    found = export_model(make(), picture(6, 31), "pt2", tmp_path / "m.pt2")
    assert found.size == ("6", "31")


@pytest.mark.slow
def test_a_file_that_gives_other_classes_is_not_kept(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Turned(exporting.ServedNet):
        def forward(self, images_BHWC: torch.Tensor) -> torch.Tensor:
            return super().forward(images_BHWC).roll(1, dims=1)

    monkeypatch.setattr(exporting, "ServedNet", Turned)
    with pytest.raises(ExportError, match=r"cannot be exported as pt2: \d+ of \d+ pixels get another class"):
        export_model(make(), picture(20, 32), "pt2", tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []


def test_other_channels_are_refused(make: Any, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"expected a picture of shape \[H, W, 1\], got \[20, 32, 3\]"):
        export_model(make(channels=1), picture(20, 32), "pt2", tmp_path / "m.pt2")


def test_ties_may_fall_either_way_and_nothing_else() -> None:
    expected = np.array([[0.5, 0.50005, -1.0], [0.0, 1.0, 2.0]], dtype=np.float32).T.reshape(1, 3, 2, 1)
    turned = expected.copy()
    turned[0, :2, 0] = expected[0, 1::-1, 0]
    compare(expected, turned)
    wrong = expected.copy()
    wrong[0, 0, 1] = 3.0
    with pytest.raises(ExportError, match=r"1 of 2 pixels get another class .* of logits 3\)"):
        compare(expected, wrong)
    with pytest.raises(ExportError, match="2 of 2 pixels"):
        compare(expected, np.full_like(expected, np.nan))


@pytest.mark.slow
def test_onnx_gives_the_same_logits_in_another_programs_hands(make: Any, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: contourney[onnx]")
    predictor = make()
    found = export_model(predictor, picture(21, 31), "onnx", tmp_path / "m.onnx")
    assert (found.size, found.notes) == (("4·h", "4·w"), ())
    assert found.difference < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == list(CLASSES)
    images = np.stack([picture(40, 64, seed=seed) for seed in range(3)])
    (logits,) = session.run(None, {"images": images})
    for image, given in zip(images, logits, strict=True):
        assert given == pytest.approx(predictor.logits(image).numpy(), abs=1e-5)


class Placed(nn.Module):
    """A model with a learnt summand for every pixel: it knows pictures of one size."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Conv2d(3, len(CLASSES), 1)
        self.places = nn.Parameter(torch.randn(len(CLASSES), 24, 32))

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.scores(images_BCHW) + self.places
        return found


def test_a_model_whose_sizes_cannot_be_left_free(terrain_settings: MakeSettings, tmp_path: Path) -> None:
    net = SegmentationNet(Placed(), (), stride=1).eval()
    predictor = Predictor(place(net, terrain_settings(), torch.device("cpu")), None, 3, CLASSES)
    found = export_model(predictor, picture(24, 32), "pt2", tmp_path / "m.pt2")
    assert found.size == ("24", "32")
    assert found.notes[0].startswith("for this size alone, since with any size: ")


def test_without_onnx_the_message_says_what_to_install(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportError, match=r"pip install 'contourney\[onnx\]', or --format pt2"):
        export_model(make(), picture(20, 32), "onnx", tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []
