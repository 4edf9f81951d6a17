"""Bad input at the command line: a short message, exit code 2, nothing half-made."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studies.cli import app as cli

Edit = Callable[[Path], None]
SIZE = (24, 32)


def write_folder(root: Path, images: int = 12) -> None:
    """A data set of two classes: dark and bright halves."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for index in range(images):
        mask = np.zeros(SIZE, dtype=np.uint8)
        mask[:, 16:] = 1
        image = mask[..., None] * 120 + generator.integers(0, 60, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / "images" / f"{index:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{index:02d}.png")
    (root / "classes.txt").write_text("dark\nbright\n")


STUDY = """
trial:
  epochs: 2
  data: {format: folder, size: [24, 32]}
  model: {width: 2, depth: 2}
space:
  optimizer.lr: {low: 1e-4, high: 1e-2, log: true}
search: {trials: 3}
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Runs a command in this process; returns exit code and message."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    write_folder(tmp_path / "data")
    (tmp_path / "study.yaml").write_text(STUDY)

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["contourney", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int) or code is None
        return code or 0, shown.out + shown.err

    return call


def refused(run, tmp_path: Path, *arguments: str) -> str:  # type: ignore[no-untyped-def]
    """The message of a launch that must be refused without a trace."""
    before = list(tmp_path.rglob("*"))
    code, message = run("launch", "study.yaml", "--data", "data", *arguments)
    assert code == 2, message
    assert "Traceback" not in message
    assert len(message.strip().splitlines()) <= 6, message
    left = set(tmp_path.rglob("*")) - set(before) - {tmp_path / "workspace"}
    # Prepared images of a split that is in order may stay: they are a cache, not a study.
    assert not [path for path in left if (tmp_path / "workspace" / "cache") not in (path, *path.parents)]
    return message


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("trial.optimzer.lr=1e-3", ["--set trial.optimzer.lr", "optimizer"]),
        ("trial.batch_size=eight", ["trial.batch_size", "eight"]),
        ("trial.epochs=0", ["trial.epochs"]),
        ("space.optimizer.momentun={low: 0.1, high: 0.9}", ["optimizer.momentun", "optimizer.momentum"]),
        ("space.seed={low: 0, high: 9}", ["seed", "cannot be searched"]),
        ("space.data.root={choices: [a, b]}", ["data.root", "cannot be searched"]),
        ("space={}", ["space", "empty"]),
        ("search.trials=0", ["search.trials"]),
        ("search.sampler={name: tpe, n_startup: 3}", ["n_startup", "n_startup_trials"]),
        ("search.sampler={name: tpee}", ["tpee", "tpe"]),
        ("search.pruner={name: median, warmup: 3}", ["warmup", "n_warmup_steps"]),
        ("trial.model={name: smp_unet, encoder: resnet18, unfreeze: head}", ["head", "pretrained decoder"]),
        ("trial.model={name: smp_unet, encoder: resnet81}", ["resnet81"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_accepted(run, tmp_path: Path, option: str, words: list[str]) -> None:  # type: ignore[no-untyped-def]
    message = refused(run, tmp_path, "--set", option)
    assert all(word in message for word in words), message


def _shrink_a_mask(data: Path) -> None:
    Image.fromarray(np.zeros((10, 10), dtype=np.uint8)).save(data / "masks" / "03.png")


def _label_beyond(data: Path) -> None:
    Image.fromarray(np.full(SIZE, 7, dtype=np.uint8)).save(data / "masks" / "03.png")


def _truncate(data: Path) -> None:
    whole = (data / "images" / "03.png").read_bytes()
    (data / "images" / "03.png").write_bytes(whole[: len(whole) // 2])


def _only_one(data: Path) -> None:
    for path in list(data.glob("*/[01][1-9].png")) + list(data.glob("*/10.png")):
        path.unlink()


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda data: (data / "masks" / "03.png").unlink(), ["03", "mask"]),
        (_shrink_a_mask, ["03", "10"]),
        (_label_beyond, ["03", "7"]),
        (_truncate, ["03.png"]),
        (_only_one, ["empty"]),
        (lambda data: shutil.rmtree(data), ["data"]),
    ],
)
def test_flawed_data_are_named(run, tmp_path: Path, edit: Edit, words: list[str]) -> None:  # type: ignore[no-untyped-def]
    # Every image is in training or validation, so that the flaw is wherever the search looks.
    edit(tmp_path / "data")
    message = refused(run, tmp_path, "--set", "trial.data.shares=[0.7, 0.3, 0.0]")
    assert all(word in message for word in words), message


def test_a_file_or_recipe_that_is_not_there(run) -> None:  # type: ignore[no-untyped-def]
    code, message = run("launch", "terrain-dmo")
    assert code == 2
    assert "terrain-demo" in message


def test_an_unwritable_workspace(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_text("")
    assert "cannot write the workspace" in refused(run, tmp_path, "--workspace", "file/inside")


def test_one_database_for_both(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("OPTUNA_STORAGE", "postgresql+psycopg://me:secret@db/both")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://other@db:5432/both")
    message = refused(run, tmp_path)
    assert "one database" in message
    assert "secret" not in message


def test_an_mlflow_that_does_not_answer(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    # Nobody listens on port 1 of this machine.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert "MLflow at http://127.0.0.1:1 does not answer" in refused(run, tmp_path)


@pytest.mark.slow
def test_more_gpus_than_there_are(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "a trial asks for 8 GPU" in refused(run, tmp_path, "--set", "resources.gpu=8")


@pytest.mark.parametrize("command", ["resume", "status", "report", "promote"])
def test_an_unknown_study(run, command: str) -> None:  # type: ignore[no-untyped-def]
    code, message = run(command, "nothing")
    assert code == 2
    assert "nothing" in message
    assert not os.path.exists("workspace/optuna.journal")


def test_a_study_of_someone_else_is_not_touched(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    import optuna

    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{tmp_path}/theirs.db")
    optuna.create_study(study_name="theirs", storage=f"sqlite:///{tmp_path}/theirs.db")
    code, message = run("resume", "theirs")
    assert code == 2
    assert "not launched by contourney" in message
    with sqlite3.connect(tmp_path / "theirs.db") as database:
        assert database.execute("select count(*) from study_user_attributes").fetchone() == (0,)
    database.close()
