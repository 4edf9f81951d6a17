"""The parts of a model that are frozen or trained as one: head, decoder, encoder stages, and the rest."""

from collections.abc import Mapping, Sequence

from torch import nn

from trainables.models.errors import ModelError

STAGES = ("stage4", "stage3", "stage2", "stage1")  # from the deepest
REST = "rest"  # the encoder's stem and whatever comes before its last four feature levels: trained only at `all`


def parts_of(net: nn.Module, features: Sequence[str]) -> dict[str, str]:
    """Part of every module of a net that has `encoder`, `decoder` and `segmentation_head` (and auxiliary ones).

    `features` are the names of the modules that give the encoder's feature levels, from the shallowest; the last four
    are its stages. A stage holds the modules after the level before it, up to and with its own; the stem before a first
    level stays in the rest. An encoder whose levels are no modules of it has no stages.
    """
    names = [name for name, _ in net.named_modules()]
    parts = {name: _outer_part(name) for name in names}
    ends = [_end(names, feature) for feature in features]
    if None in ends:
        return parts
    levels = [end for end in ends if end is not None]
    stages = range(max(0, len(levels) - len(STAGES)), len(levels))
    for stage, level in zip(STAGES, reversed(stages), strict=False):
        start = levels[level - 1] if level else names.index(features[0])
        for name in names[start : levels[level]]:
            if parts[name] == REST:
                parts[name] = stage
    return parts


def trained_parts(parts: Mapping[str, str], depth: str) -> tuple[str, ...]:
    """Parts that train at an unfreeze depth; raises ModelError for a depth that the model does not have."""
    order = ("head", "decoder", *STAGES)
    existing = tuple(part for part in order if part in parts.values())
    if depth == "all":
        return (*existing, REST) if REST in parts.values() else existing
    if depth not in existing:
        raise ModelError(f"model.unfreeze: this model has no {depth}; it has {', '.join((*existing, 'all'))}")
    return existing[: existing.index(depth) + 1]


def _outer_part(name: str) -> str:
    match name.split(".")[0]:
        case "decoder" | "auxiliary_decoder":
            return "decoder"
        case "segmentation_head" | "auxiliary_head":
            return "head"
    return REST


def _end(names: Sequence[str], feature: str) -> int | None:
    """Index after the last module within a feature level, None where there is no such module."""
    within = [index for index, name in enumerate(names) if name == feature or name.startswith(f"{feature}.")]
    return within[-1] + 1 if within else None
