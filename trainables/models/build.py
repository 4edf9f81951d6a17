"""A model ready to train: built, weights loaded, frozen as asked."""

from functools import lru_cache
from pathlib import Path

import torch

from trainables.custom import is_own, reported
from trainables.models.errors import ModelError
from trainables.models.initialization import initialize
from trainables.models.parts import trained_parts
from trainables.models.segmentation_net import SegmentationNet
from trainables.models.settings import ModelSettings
from trainables.models.table import DOWNLOAD, build_net, row_of
from trainables.models.weights import file_holds_whole_model, load_weights


def build_model(settings: ModelSettings, channels: int, classes: int) -> SegmentationNet:
    """The model with its weights loaded and its parts frozen; raises ModelError as `check_model` does, and for weights
    that do not fit.
    """
    check_model(settings)
    net = build_net(settings, channels, classes)
    # What was downloaded is the encoder, built with its weights; what a file gives is loaded over the drawn ones.
    drawn = [part for name, part in net.net.named_children() if settings.weights != DOWNLOAD or name != "encoder"]
    for part in drawn:
        initialize(part, settings.initialization)
    if settings.weights not in (None, DOWNLOAD):
        load_weights(net, settings)
    net.unfreeze(settings.unfreeze)
    net.smallest_batch = row_of(settings.name).smallest_batch
    return net


def check_model(settings: ModelSettings) -> None:
    """Raise ModelError, before any data is read, for a model that cannot be built or frozen as asked."""
    row = row_of(settings.name)
    if row.over_timm:
        _check_encoder(settings.encoder)
    whole_model = _whole_model_given(settings)
    if not row.over_timm and settings.unfreeze != "all" and not whole_model:
        raise ModelError(
            f"model.unfreeze: {settings.unfreeze} would freeze random weights of {settings.name}; set it to all, or "
            "give a whole model's weights (a best.pt) in model.weights"
        )
    if settings.unfreeze == "head" and not whole_model:
        raise ModelError(
            "model.unfreeze: head needs a pretrained decoder, and this one would be random: a linear layer on it "
            "learns nothing; give a whole model's weights (a best.pt) in model.weights, or set it to decoder"
        )
    plain = settings.model_copy(update={"weights": None, "unfreeze": "all", "initialization": "default"})
    if is_own(settings.name):
        with reported("model.name", f"{settings.name} cannot be built on torch's meta device"):
            parts = _parts(plain)
    else:
        parts = _parts(plain.model_copy(update={"width": 1}))
    trained_parts(dict(parts), settings.unfreeze)


def _check_encoder(name: str) -> None:
    # It brings torchvision and takes seconds to import; other models do without.
    import timm

    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('.')[0]}*")[:3]
        hint = f"; close names: {', '.join(close)}" if close else "; timm.list_models() lists what there is"
        raise ModelError(f"model.encoder: timm has no {name!r}{hint}")


@lru_cache(maxsize=64)
def _parts(settings: ModelSettings) -> tuple[tuple[str, str], ...]:
    """Part of every module of a model, without making its tensors; raises ModelError if it cannot be built."""
    with torch.device("meta"):
        net = build_net(settings, channels=3, classes=2)
    return tuple(net.parts.items())


def _whole_model_given(settings: ModelSettings) -> bool:
    """Whether a file holds a whole model; raises ModelError if it cannot be read."""
    if settings.weights is None:
        return False
    if settings.weights == DOWNLOAD:
        if not row_of(settings.name).over_timm:
            raise ModelError(f"model.weights: there is nothing to download for {settings.name}; give a file, or none")
        return False
    path = Path(settings.weights)
    changed_ns = path.stat().st_mtime_ns if path.is_file() else 0
    return file_holds_whole_model(path, changed_ns)
