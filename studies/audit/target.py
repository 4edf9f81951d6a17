"""Which data set is meant: DATA, its format, and settings put over them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from studies.files.overrides import apply_overrides, read_overrides
from studies.files.problems import Sources, StudyFileError, render
from studies.files.validation import validate
from trainables.custom import is_own
from trainables.data.formats.table import FORMATS
from trainables.data.settings import DataSettings

GENERATED = "terrain"
VOC_PLACES = (".", "VOC2012", "VOCdevkit/VOC2012")


class AuditError(ValueError):
    """A data set cannot be audited as asked."""


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda root: all((root / name).exists() for name in names)


# What tells a layout, for every format of the table; the generated set has none.
LAYOUTS: dict[str, tuple[str, Callable[[Path], bool]]] = {
    "folder": ("images/ and masks/", _has("images", "masks")),
    "camvid": ("train/ and trainannot/", _has("train", "trainannot")),
    "voc2012": (
        "ImageSets/Segmentation/, here, in VOC2012/ or in VOCdevkit/VOC2012/",
        lambda root: any((root / place / "ImageSets" / "Segmentation").is_dir() for place in VOC_PLACES),
    ),
    "sunrgbd": (
        "SUNRGBD/, or kv1/, kv2/ and xtion/, or SUNRGBD-train_images/",
        lambda root: _has("SUNRGBD")(root) or _has("kv1", "kv2", "xtion")(root) or _has("SUNRGBD-train_images")(root),
    ),
    "nyuv2": (
        "image/ and label40/, or nyu_depth_v2_labeled.mat",
        lambda root: _has("image", "label40")(root) or _has("nyu_depth_v2_labeled.mat")(root),
    ),
    "npz": ("a file .npz", lambda root: root.is_file() and root.suffix == ".npz"),
}  # fmt: skip


def data_settings(data: str, format_: str | None, overrides: Sequence[str]) -> tuple[DataSettings, bool]:
    """The settings of the data set at `data`, and whether its format was guessed from the layout.

    `data` is a folder, a file, or `terrain`; `overrides` are PATH=VALUE with paths of a study file (`trial.data.split`)
    or short of `trial` (`data.split`). Raises StudyFileError and AuditError.
    """
    over = read_overrides([text if text.startswith("trial.") else f"trial.{text}" for text in overrides], {})
    written: dict[str, object] = {}
    apply_overrides(written, over)
    study, problems = validate(written)
    problems = [*over.problems, *problems]
    if problems:
        raise StudyFileError(render(problems, Sources("--set", {}, over.places)))
    if any(path[:2] != ("trial", "data") for path in over.values):
        raise AuditError("--set: an audit reads settings of the data alone; expected paths such as data.split")
    settings = study.trial.data
    generated = data == GENERATED and not Path(data).exists()
    format_set = ("trial", "data", "format") in over.values
    if format_ is not None and format_ not in FORMATS and not is_own(format_):
        raise AuditError(f"--format {format_}: expected one of {', '.join(FORMATS)} or package.module:name of your own")
    guessed = format_ is None and not format_set and not generated
    chosen = format_ or (settings.format if format_set else GENERATED if generated else guess_format(data))
    root = None if chosen == GENERATED and generated else data
    return settings.model_copy(update={"format": chosen, "root": root}), guessed


def guess_format(data: str) -> str:
    """The one format whose layout lies at `data`; raises AuditError with what to type where none or several do."""
    root = Path(data).expanduser()
    if not root.exists():
        raise AuditError(f"{data}: no such folder or file; `{GENERATED}` is the generated set")
    fitting = [name for name, (_, fits) in LAYOUTS.items() if fits(root)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        choices = " or ".join(f"--format {name}" for name in fitting)
        raise AuditError(f"{data} fits the layouts of {' and '.join(fitting)}: give {choices}")
    layouts = "\n".join(f"  {name}: {words}" for name, (words, _) in LAYOUTS.items())
    raise AuditError(
        f"{data} has none of the layouts that are known; give --format, or lay it out as one of\n{layouts}"
    )
