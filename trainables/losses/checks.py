"""Settings of a loss that are valid one by one but cannot work together."""

from collections.abc import Iterator

from trainables.losses.settings import LossSettings


def loss_findings(settings: LossSettings) -> Iterator[str]:
    """One finding each, beginning with its dotted path; reads no data."""
    active = [name for name in type(settings.terms).model_fields if getattr(settings.terms, name).weight > 0]
    if not active:
        yield "loss.terms: every weight is 0; give at least one term a weight above 0"
    custom = settings.terms.custom
    if custom.weight > 0 and custom.entry is None:
        yield "loss.terms.custom.entry: missing, but its weight is above 0; expected package.module:Class"
    if active == ["boundary"]:
        yield (
            "loss.terms.boundary: alone it is least for empty predictions; give a region term a weight too, such as "
            "cross_entropy, dice, focal or lovasz"
        )
    if settings.class_weights == "by_hand" and not settings.weights_by_hand:
        yield "loss.weights_by_hand: empty, but loss.class_weights is by_hand; give a weight by class name"
    if settings.class_weights != "by_hand" and settings.weights_by_hand:
        yield (
            f"loss.weights_by_hand: given, but loss.class_weights is {settings.class_weights}; set that to by_hand or "
            "leave the weights out"
        )
