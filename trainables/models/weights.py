"""Weights from a file, of an encoder in timm's names or of a whole model; every tensor is accounted for."""

import pickle
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import nn

from trainables.models.errors import ModelError
from trainables.models.hugging_face import renamed
from trainables.models.segmentation_net import SegmentationNet
from trainables.models.settings import ModelSettings

Tensors = dict[str, torch.Tensor]

SUFFIXES = (".safetensors", ".pt", ".bin")
WHOLE_MODEL_PREFIXES = ("decoder.", "segmentation_head.")
HEAD_PREFIXES = ("segmentation_head.", "auxiliary_head.")
# A counter that some files leave out; nothing computes with it where BatchNorm has a momentum.
OPTIONAL_SUFFIX = ".num_batches_tracked"
SHOWN_KEYS = 5


def load_weights(net: SegmentationNet, settings: ModelSettings) -> None:
    """Load `settings.weights`, a file, into the net.

    A whole model's head stays random where it was trained for another number of classes. Raises ModelError if a tensor
    of the file has no place, or one of the encoder (or of the whole model) is not in the file or of another shape.
    """
    assert settings.weights is not None  # callers load only what is asked for
    path = Path(settings.weights)
    tensors = read_tensors(path)
    if is_whole_model(tensors):
        _load_whole_model(net, tensors, path)
    else:
        _load_encoder(net, settings, tensors, path)


def read_tensors(path: Path) -> Tensors:
    """Tensors of a .safetensors file, a .pt or .bin state dict, or the `model` of a trial's best.pt; those of
    `openmmlab/upernet-convnext-tiny` under our names. Raises ModelError.
    """
    if path.suffix not in SUFFIXES or not path.is_file():
        what = "no such file" if path.suffix in SUFFIXES else f"expected a file that ends in {' or '.join(SUFFIXES)}"
        raise ModelError(f"model.weights: {path}: {what} (relative paths start in {Path.cwd()})")
    try:
        if path.suffix == ".safetensors":
            return renamed(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, OSError) as error:
        raise ModelError(
            f"model.weights: {path} cannot be read ({error}); it may be cut short or of another kind"
        ) from error
    tensors = content.get("model", content) if isinstance(content, Mapping) else content
    if not isinstance(tensors, Mapping) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise ModelError(
            f"model.weights: {path} holds no state dict; expected names with tensors, or them under `model`"
        )
    return renamed(tensors)


def is_whole_model(names: Collection[str]) -> bool:
    """Whether these tensors are a whole segmentation model's, not an encoder's."""
    return any(name.startswith(WHOLE_MODEL_PREFIXES) for name in names)


@lru_cache(maxsize=64)
def file_holds_whole_model(path: Path, changed_ns: int) -> bool:
    """`is_whole_model` of a file, cached until the file changes."""
    return is_whole_model(read_tensors(path))


def _load_whole_model(net: SegmentationNet, tensors: Tensors, path: Path) -> None:
    own = net.net.state_dict()
    head = {name for name in own.keys() & tensors.keys() if name.startswith(HEAD_PREFIXES)}
    fresh = head if any(tensors[name].shape != own[name].shape for name in head) else set()
    kept = {name: own[name] if name in fresh else _adapted(own.get(name), value) for name, value in tensors.items()}
    _check_names(missing=_required(own) - kept.keys(), unknown=kept.keys() - own.keys(), path=path)
    _check_shapes(own, kept, path)
    net.net.load_state_dict(own | kept)


def _load_encoder(net: SegmentationNet, settings: ModelSettings, tensors: Tensors, path: Path) -> None:
    encoder_net: Any = net.net.encoder
    if not hasattr(encoder_net, "model"):
        raise ModelError(
            f"model.weights: {path} holds no whole model (no tensor named {' or '.join(WHOLE_MODEL_PREFIXES)}…); "
            f"{settings.name} takes only a whole model's weights"
        )
    timm_net: nn.Module = encoder_net.model
    own = timm_net.state_dict()
    by_plain_name = {_plain(name): name for name in tensors}
    sources = {name: source for name in own if (source := by_plain_name.get(_plain(name))) is not None}
    # The file's other tensors must be the classifier's or of levels that the decoder does not use.
    unknown = tensors.keys() - set(sources.values()) - _names_in_timm(settings.encoder)
    _check_names(missing=_required(own) - sources.keys(), unknown=unknown, path=path)
    loaded = {name: tensors[source] for name, source in sources.items()}
    loaded = {name: _adapted(own[name], value) for name, value in loaded.items()}
    _check_shapes(own, loaded, path)
    timm_net.load_state_dict(own | loaded)


def _adapted(own: torch.Tensor | None, value: torch.Tensor) -> torch.Tensor:
    """A first convolution's weights for other input channels: for grey images the sum over the three (timm's rule)."""
    takes_colour = value.dim() == 4 and value.shape[1] == 3
    if own is None or not takes_colour or own.shape[1] == 3 or own.shape[0] != value.shape[0]:
        return value
    from timm.models import adapt_input_conv

    adapted: torch.Tensor = adapt_input_conv(own.shape[1], value)
    return adapted


def _plain(name: str) -> str:
    """A name as it is in timm's plain network: some encoders are flattened (`stages.0` to `stages_0`) or wrapped."""
    return name.removeprefix("model.").replace(".", "_")


def _required(names: Collection[str]) -> set[str]:
    return {name for name in names if not name.endswith(OPTIONAL_SUFFIX)}


@lru_cache(maxsize=16)
def _names_in_timm(encoder: str) -> frozenset[str]:
    """Names of all tensors of timm's plain network."""
    import timm

    with torch.device("meta"):
        return frozenset(timm.create_model(encoder).state_dict())


def _check_names(missing: Collection[str], unknown: Collection[str], path: Path) -> None:
    findings = [f"lacks {_some(missing)}"] if missing else []
    findings += [f"holds {_some(unknown)} without a place in the model"] if unknown else []
    if findings:
        raise ModelError(
            f"model.weights: {path} does not fit the model: it {' and '.join(findings)}; check model.name, "
            "model.encoder, model.width and model.depth"
        )


def _check_shapes(own: Tensors, loaded: Tensors, path: Path) -> None:
    wrong = [name for name, value in loaded.items() if value.shape != own[name].shape]
    if wrong:
        name = wrong[0]
        raise ModelError(
            f"model.weights: {path} does not fit the model: {name} is {tuple(loaded[name].shape)} in the file and "
            f"{tuple(own[name].shape)} here ({len(wrong)} tensors differ); check model.name, model.encoder and "
            "model.width"
        )


def _some(names: Collection[str]) -> str:
    shown = sorted(names)[:SHOWN_KEYS]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
