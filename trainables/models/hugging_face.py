"""Names of `openmmlab/upernet-convnext-tiny` (transformers' UperNetForSemanticSegmentation) as ours."""

import re
from collections.abc import Mapping

import torch

# In this order; each is tried on the whole name. The encoder's are timm's, as it flattens ConvNeXt for features.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"decode_head\.classifier\.(.*)", r"segmentation_head.\1"),
    (r"decode_head\.(.*)", r"decoder.\1"),
    (r"auxiliary_head\.classifier\.(.*)", r"auxiliary_head.\1"),
    (r"auxiliary_head\.convs\.(.*)", r"auxiliary_decoder.\1"),
    (r"backbone\.hidden_states_norms\.stage1\.(.*)", r"encoder.norms.0.\1"),
    (r"backbone\.hidden_states_norms\.stage2\.(.*)", r"encoder.norms.1.\1"),
    (r"backbone\.hidden_states_norms\.stage3\.(.*)", r"encoder.norms.2.\1"),
    (r"backbone\.hidden_states_norms\.stage4\.(.*)", r"encoder.norms.3.\1"),
    (r"backbone\.embeddings\.patch_embeddings\.(.*)", r"encoder.model.stem_0.\1"),
    (r"backbone\.embeddings\.layernorm\.(.*)", r"encoder.model.stem_1.\1"),
    (r"backbone\.encoder\.stages\.(\d+)\.downsampling_layer\.(.*)", r"encoder.model.stages_\1.downsample.\2"),
    (r"backbone\.encoder\.stages\.(\d+)\.layers\.(\d+)\.(.*)", r"encoder.model.stages_\1.blocks.\2.\3"),
)
BLOCK_RENAMES: tuple[tuple[str, str], ...] = (
    (".dwconv.", ".conv_dw."),
    (".layernorm.", ".norm."),
    (".pwconv1.", ".mlp.fc1."),
    (".pwconv2.", ".mlp.fc2."),
    (".layer_scale_parameter", ".gamma"),
)


def renamed(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under our names; those of other layouts as they are, one for one."""
    if not any(name.startswith("decode_head.") for name in tensors):
        return dict(tensors)
    return {_renamed(name): value for name, value in tensors.items()}


def _renamed(name: str) -> str:
    for pattern, ours in RENAMES:
        found = re.fullmatch(pattern, name)
        if found:
            name = found.expand(ours)
            break
    if ".blocks." in name:
        for theirs, ours in BLOCK_RENAMES:
            name = name.replace(theirs, ours)
    return name
