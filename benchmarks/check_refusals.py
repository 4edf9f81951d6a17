"""Bad input, one case each: exit code 2, a few lines that say what to do, and nothing half-made."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.command import Done, contourney
from benchmarks.expect import expect, expect_that

SIDE, IMAGES, CLASSES = 32, 10, 3
MOST_LINES = 8
# What a launch may leave in its workspace: decoded images of a split that is in order serve the next launch.
HARMLESS = {"cache"}

FILE = """
name: refused
trial:
  epochs: 1
  data: {format: folder, split: random}
  model: {name: unet, width: 2, depth: 1}
space:
  optimizer.lr: {low: 1e-4, high: 1e-2, log: true}
search: {trials: 1}
"""


@dataclass(frozen=True)
class Case:
    """A study file, arguments and variables ({root} stands for the case's folder), what is done to the data first, and
    a pattern of the message for each thing that it must say."""

    says: tuple[str, ...]
    replace: tuple[str, str] = ("", "")
    arguments: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    spoil: Callable[[Path], None] = lambda data: None


def _image_without_mask(data: Path) -> None:
    (data / "masks" / "0003.png").unlink()


def _mask_of_another_size(data: Path) -> None:
    Image.fromarray(np.zeros((SIDE, SIDE - 1), dtype=np.uint8)).save(data / "masks" / "0003.png")


def _label_beyond(data: Path) -> None:
    Image.fromarray(np.full((SIDE, SIDE), CLASSES, dtype=np.uint8)).save(data / "masks" / "0003.png")


def _truncated(data: Path) -> None:
    path = data / "images" / "0003.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty_split(data: Path) -> None:
    (data / "train.txt").write_text("\n".join(f"{index:04d}" for index in range(IMAGES)))
    (data / "validation.txt").write_text("")


SEARCHED = "  optimizer.lr: {low: 1e-4, high: 1e-2, log: true}\n"
LISTS = ("split: random", "split: lists")
EVERY = ("split: random", "split: random, shares: [0.5, 0.5, 0.0]")
CASES: dict[str, Case] = {
    "unknown key": Case((r"trial\.epoch\b", r"study\.yaml:4:", r"epochs"), ("epochs: 1", "epoch: 1")),
    "wrong type": Case((r"trial\.epochs", r"study\.yaml:4:", r"many"), ("epochs: 1", "epochs: many")),
    "unknown space path": Case((r"optimizer\.rate", r"optimizer\."), ("optimizer.lr", "optimizer.rate")),
    "refused space path": Case((r"seed",), (SEARCHED, "  seed: {choices: [0, 1]}\n")),
    "empty space": Case((r"space", r"empty"), (f"space:\n{SEARCHED}", "space: {}\n")),
    "missing data root": Case((r"nowhere",), arguments=("--data", "{root}/nowhere")),
    "image without its mask": Case((r"0003", r"mask"), EVERY, spoil=_image_without_mask),
    "mask of another size": Case((r"0003", r"32x31", r"32x32"), EVERY, spoil=_mask_of_another_size),
    "label beyond the classes": Case((r"0003", r"\b3\b"), EVERY, spoil=_label_beyond),
    "truncated image": Case((r"0003", r"truncated|read|decode"), EVERY, spoil=_truncated),
    "empty split": Case((r"validation", r"empty|no images|no image"), LISTS, spoil=_empty_split),
    "zero trials": Case((r"trials", r"\b0\b"), arguments=("--trials", "0")),
    "sampler's unknown argument": Case(
        (r"n_startups", r"n_startup_trials"),
        ("search: {trials: 1}", "search: {trials: 1, sampler: {name: tpe, n_startups: 3}}"),
    ),
    "unwritable workspace": Case((r"cannot write", r"--workspace"), arguments=("--workspace", "{root}/study.yaml/w")),
    "more GPUs than there are": Case((r"resources\.gpu", r"\b64\b"), arguments=("--set", "resources.gpu=64")),
    "head on a random decoder": Case(
        (r"head", r"decoder", r"weights"),
        ("model: {name: unet, width: 2, depth: 1}", "model: {name: smp_unet, unfreeze: head}"),
    ),
    "one database for both": Case(
        (r"OPTUNA_STORAGE", r"MLFLOW_TRACKING_URI", r"two databases"),
        variables=dict.fromkeys(("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"), "sqlite:///{root}/one.db"),
    ),
}


def check_refused(name: str, root: Path) -> str:
    """Launch a case in a fresh folder; returns the message it was refused with."""
    case, data = CASES[name], root / "data"
    write_data(data)
    case.spoil(data)
    expect_that(not case.replace[0] or case.replace[0] in FILE, f"{case.replace[0]!r} in the study file", FILE)
    (root / "study.yaml").write_text(FILE.replace(*case.replace) if case.replace[0] else FILE)
    before = _files(root)
    arguments = [argument.format(root=root) for argument in case.arguments]
    variables = {key: value.format(root=root) for key, value in case.variables.items()}
    # Later options of a kind replace earlier ones.
    done = contourney(
        "launch", str(root / "study.yaml"), "--data", str(data), "--workspace", str(root / "w"), *arguments, **variables
    )
    message = _check_message(done, case)
    made = {path for path in _files(root) - before if not set(path.parts) & HARMLESS and path.parts[-1] != "w"}
    expect(f"{name}: what was left behind", sorted(map(str, made)), [])
    return message.replace(f"{root}/", "")


def write_data(data: Path) -> None:
    """A folder data set without a fault."""
    generator = np.random.default_rng(0)
    for index in range(IMAGES):
        for kind, high, shape in (("images", 256, (SIDE, SIDE, 3)), ("masks", CLASSES, (SIDE, SIDE))):
            (data / kind).mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, high, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(data / kind / f"{index:04d}.png")
    (data / "classes.txt").write_text("".join(f"{k} class{k}\n" for k in range(CLASSES)))


def _check_message(done: Done, case: Case) -> str:
    done.must_exit(2)
    message = done.output.strip()
    expect_that("Traceback" not in message, "a message without a traceback", message)
    expect_that(1 <= len(message.splitlines()) <= MOST_LINES, f"a message of 1 to {MOST_LINES} lines", message)
    for pattern in case.says:
        expect_that(re.search(pattern, message) is not None, f"a message that says {pattern!r}", message)
    return message


def _files(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in root.rglob("*")}
