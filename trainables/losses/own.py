"""A loss term of the user's own."""

from collections.abc import Mapping

import torch

from trainables.custom import PartError, load_part, reported
from trainables.losses.scores import Scores
from trainables.losses.settings import CustomSettings
from trainables.losses.target import Target
from trainables.losses.terms import LossTerm

SETTING = "loss.terms.custom.entry"


def own_term(settings: CustomSettings, weights_K: torch.Tensor | None) -> LossTerm:
    """The term that `entry` names, made of the settings and the class weights; raises PartError."""
    assert settings.entry is not None  # see loss_findings
    term: LossTerm = load_part(settings.entry, SETTING, ("settings", "weights_K"))(settings, weights_K)
    if missing := [name for name in ("parameters", "statistics", "value") if not hasattr(term, name)]:
        raise PartError(
            f"{SETTING}: {settings.entry} gives {type(term).__name__}, which lacks {', '.join(missing)}; see "
            "trainables.losses.terms.LossTerm"
        )
    return term


def check_own_term(settings: CustomSettings) -> None:
    """Try the term on a few pixels; raises PartError."""
    logits_BKHW = torch.zeros(2, 3, 4, 5, requires_grad=True)
    masks_BHW = torch.tensor([0, 1, 2, 255, 0], dtype=torch.uint8).expand(2, 4, 5).contiguous()
    with reported(SETTING, f"{settings.entry} fails on two images of 4 x 5 pixels and three classes"):
        term = own_term(settings, None)
        if not isinstance(term.parameters, Mapping):
            raise PartError(f"{SETTING}: {settings.entry}: expected `parameters` to be a mapping")
        statistics = term.statistics(Scores(logits_BKHW, Target(masks_BHW, 3)))
        value = term.value(statistics)
        shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        if shape != ():
            raise PartError(f"{SETTING}: {settings.entry}: expected `value` to give a scalar tensor, got {shape}")
        value.backward()  # type: ignore[no-untyped-call]  # untyped in torch
