"""A model as one file for other programs, whose results were compared with the model's own before it is kept."""

import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import Dim, ExportedProgram

from trainables.data.batches import normalized, to_tensor
from trainables.data.split_data import resize_image
from trainables.models.segmentation_net import SegmentationNet
from trainables.predictor import Predictor

Kind = Literal["onnx", "pt2"]
Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

# Two likeliest classes that are closer than this are a tie, which rounding may decide either way.
TIE = 1e-4
# Strides by which the pictures of a check are higher and wider: pooling to a grid goes wrong at some sizes alone.
MORE = ((1, 2), (2, 3), (3, 1), (4, 5))
NEEDED = "onnx, onnxscript and onnxruntime"


class ExportError(ValueError):
    """A model that cannot be exported as asked."""


@dataclass(frozen=True)
class Exported:
    """What was written: height and width of its pictures in words, channels, and how far it is from the model."""

    size: tuple[str, str]
    channels: int
    pixels: int
    difference: float
    notes: tuple[str, ...]


class ServedNet(nn.Module):
    """A net with its normalisation: images uint8 [N, H, W, C] to logits fp32 [N, K, H, W]."""

    def __init__(self, net: SegmentationNet, normalize: Literal["none", "imagenet"]) -> None:
        super().__init__()
        self.net = net
        self.normalize = normalize

    def forward(self, images_BHWC: torch.Tensor) -> torch.Tensor:
        """Logits of images of one size."""
        logits_BKHW: torch.Tensor = self.net(normalized(images_BHWC, self.normalize)).float()
        return logits_BKHW


def export_model(predictor: Predictor, picture_HWC: NDArray[np.uint8], kind: Kind, target: Path) -> Exported:
    """Write the model of a predictor on the CPU to `target` in fp32, checked on a picture.

    Any number of pictures at once; of any size that is a multiple of the model's stride where the model has no size of
    its own and the format can. Raises ExportError, and nothing is written, where a pixel gets another class.
    """
    predictor.check_shape(picture_HWC.shape)
    if kind == "onnx":
        _need_onnx()
    net = predictor.inference.model
    failures = _failures(kind)
    reasons = []
    for free in (True, False) if predictor.size is None else (False,):
        image_HWC = _fitted(picture_HWC, predictor, free)
        if image_HWC is None:
            continue
        temporary = target.with_name(f".{target.name}.{os.getpid()}.{kind}")
        try:
            run = _written(predictor, image_HWC, kind, temporary, free)
            difference, pixels = _check(run, predictor, _examples(image_HWC, net.stride, free))
            temporary.replace(target)
        except OSError as error:
            raise ExportError(f"cannot write {target}: {error.strerror}; choose another --output") from error
        except failures as error:
            reasons.append((str(error).strip() or type(error).__name__).splitlines()[0][:200])
            continue
        finally:
            temporary.unlink(missing_ok=True)
        size = (f"{net.stride}·h", f"{net.stride}·w") if free else tuple(map(str, image_HWC.shape[:2]))
        return Exported((size[0], size[1]), predictor.channels, pixels, difference, tuple(_notes(predictor, reasons)))
    raise ExportError(f"this model cannot be exported as {kind}: {'; '.join(reasons)}; nothing was written")


def _notes(predictor: Predictor, reasons: list[str]) -> Iterator[str]:
    if predictor.size is not None:
        yield "pictures must be resized to this size before: by area when they shrink, else bilinear, as in training"
    elif reasons:
        yield f"for this size alone, since with any size: {reasons[0]}"


def _fitted(picture_HWC: NDArray[np.uint8], predictor: Predictor, free: bool) -> NDArray[np.uint8] | None:
    """The picture as the exported model takes it; None where it is too small for sizes to be left free."""
    if predictor.size is not None:
        return np.ascontiguousarray(resize_image(picture_HWC, predictor.size))
    if not free:
        return np.ascontiguousarray(picture_HWC)
    net = predictor.inference.model
    height, width = (side // net.stride * net.stride for side in picture_HWC.shape[:2])
    if min(height, width) < _least(net) * net.stride:
        return None
    return np.ascontiguousarray(picture_HWC[:height, :width])


def _least(net: SegmentationNet) -> int:
    """Strides in the smallest side; with a single one torch would take the side for a constant."""
    return max(2, -(-net.min_side // net.stride))


def _written(predictor: Predictor, image_HWC: NDArray[np.uint8], kind: Kind, path: Path, free: bool) -> Run:
    """Write the file and return it as it is run from there."""
    net = predictor.inference.model
    served = ServedNet(net.eval(), predictor.inference.normalize)
    shape: dict[int, object] = {0: Dim("n", min=1)}
    if free:
        shape |= {1: net.stride * Dim("h", min=_least(net)), 2: net.stride * Dim("w", min=_least(net))}
    example = torch.from_numpy(np.stack([image_HWC, image_HWC[:, ::-1]]))
    # Of torch about its own workings.
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(served, (example,), dynamic_shapes=(shape,))
        names = json.dumps(list(predictor.class_names))
        return _write_onnx(program, path, names) if kind == "onnx" else _write_pt2(program, path, names)


def _write_pt2(program: ExportedProgram, path: Path, names: str) -> Run:
    torch.export.save(program, path, extra_files={"class_names.json": names})
    module = torch.export.load(path).module()

    def run(images_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(images_BHWC)))

    return run


def _write_onnx(program: ExportedProgram, path: Path, names: str) -> Run:
    import onnxruntime

    made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=["images"], output_names=["logits"])
    assert made is not None  # as dynamo's always is
    made.model.metadata_props["class_names"] = names
    made.save(path, external_data=False)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda images_BHWC: np.asarray(session.run(None, {"images": images_BHWC})[0])


def _examples(image_HWC: NDArray[np.uint8], stride: int, free: bool) -> Iterator[NDArray[np.uint8]]:
    """The picture alone, three of it, and where sizes are free larger ones."""
    yield image_HWC[None]
    yield np.stack([image_HWC, image_HWC[:, ::-1], image_HWC[::-1]])
    if free:
        height, width = (side // stride for side in image_HWC.shape[:2])
        for below, right in (*MORE, (height, width + 1)):
            yield np.pad(image_HWC, ((0, below * stride), (0, right * stride), (0, 0)), mode="wrap")[None]


def _check(run: Run, predictor: Predictor, examples: Iterator[NDArray[np.uint8]]) -> tuple[float, int]:
    """The largest difference of logits and the number of pixels; raises ExportError for another class at one."""
    largest, pixels = 0.0, 0
    for images_BHWC in examples:
        with torch.no_grad():
            tensor = to_tensor(images_BHWC, "cpu", predictor.inference.normalize)
            expected_BKHW = predictor.inference.model(tensor).float().numpy()
        found_BKHW = run(images_BHWC)
        if found_BKHW.shape != expected_BKHW.shape:
            raise ExportError(f"gives logits {list(found_BKHW.shape)}, the model {list(expected_BKHW.shape)}")
        compare(expected_BKHW, found_BKHW)
        largest = max(largest, float(np.abs(found_BKHW - expected_BKHW).max()))
        pixels += expected_BKHW[:, 0].size
    return largest, pixels


def compare(expected_BKHW: NDArray[np.float32], found_BKHW: NDArray[np.float32]) -> None:
    """Raise ExportError where a pixel's likeliest class is another one, ties aside, or a logit is not finite."""
    ranked = np.sort(expected_BKHW, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > TIE if expected_BKHW.shape[1] > 1 else np.zeros((), dtype=bool)
    wrong = (found_BKHW.argmax(axis=1) != expected_BKHW.argmax(axis=1)) & clear
    wrong |= ~np.isfinite(found_BKHW).all(axis=1)
    if wrong.any():
        difference = np.abs(found_BKHW - expected_BKHW).max()
        raise ExportError(
            f"{int(wrong.sum())} of {wrong.size} pixels get another class than the model's (largest difference of "
            f"logits {difference:.2g})"
        )


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ExportError(
            f"--format onnx needs {NEEDED}, and {error.name} is not installed: pip install 'contourney[onnx]', or "
            "--format pt2"
        ) from error


def _failures(kind: Kind) -> tuple[type[Exception], ...]:
    """What is raised for a model that a format cannot hold; ONNX Runtime's errors have no base of their own."""
    common = (RuntimeError, ValueError, AssertionError)
    if kind != "onnx":
        return common
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return *common, state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented, state.RuntimeException
