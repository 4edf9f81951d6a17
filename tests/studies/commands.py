"""The command line in this process, and small data sets to ask it about."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from studies.cli import app as cli

Call = Callable[..., tuple[int, str, str]]


def caller(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """A function that runs a command and returns its exit code, output and messages."""
    for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["contourney", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int) or code is None
        return code or 0, shown.out, shown.err

    return call


def audited(call: Call, *arguments: str) -> dict[str, Any]:
    """What `contourney audit ... --json` prints."""
    code, out, err = call("audit", *arguments, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def scene(seed: int, size: tuple[int, int] = (24, 32)) -> tuple[np.ndarray, np.ndarray]:
    """An image uint8 [H, W, 3] of smooth random shapes, and its mask of two classes."""
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.standard_normal(size).astype(np.float32), (0, 0), 2.5)
    grey = np.clip(128 + 250 * field, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2), (field > 0).astype(np.uint8)


def write_scenes(root: Path, count: int = 30, names: tuple[str, ...] = ("dark", "bright")) -> Path:
    """The folder format with scenes 00, 01, ...; class names only if given."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(count):
        save(root, f"{index:02d}", *scene(index))
    if names:
        (root / "classes.txt").write_text("\n".join(names))
    return root


def save(root: Path, name: str, image: np.ndarray, mask: np.ndarray) -> None:
    """One pair."""
    Image.fromarray(image).save(root / "images" / f"{name}.png")
    Image.fromarray(mask).save(root / "masks" / f"{name}.png")
