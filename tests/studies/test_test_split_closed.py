"""A launch opens no test file: neither its driver nor its workers, as an audit hook in all of them sees."""

from pathlib import Path

import pytest

from studies.workspace import Workspace
from tests.studies.commands import write_scenes
from tests.studies.running import ROOT, contourney

pytestmark = pytest.mark.slow

# Python imports it at its start, in Ray's workers too.
HOOK = """
import os, sys

opened = os.open(os.environ["OPENED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
watched = os.environ["WATCHED"]


def note(event, arguments):
    if event == "open" and watched in str(arguments[0]):
        os.write(opened, f"{os.getpid()} {arguments[0]}\\n".encode())


sys.addaudithook(note)
"""
FILE = """
trial:
  epochs: 2
  batch_size: 4
  data: {format: folder, root: %s, split: lists}
  model: {width: 2, depth: 2}
space:
  optimizer.lr: {low: 1e-4, high: 1e-2, log: true}
search: {trials: 2}
resources: {workers: 1}
"""
PARTS = {"train": range(12), "validation": range(12, 16), "test": range(16, 20)}


def test_driver_and_workers_open_no_file_of_the_test_split(tmp_path: Path) -> None:
    data = write_scenes(tmp_path / "data", count=20)
    for part, numbers in PARTS.items():
        (data / f"{part}.txt").write_text("".join(f"{number:02d}\n" for number in numbers))
    # Whoever opens one of these fails, also where no hook would see it, as in a library's own C code.
    for number in PARTS["test"]:
        for folder in ("images", "masks"):
            path = data / folder / f"{number:02d}.png"
            path.unlink()
            path.symlink_to(tmp_path / "nowhere" / f"{folder}-{number}.png")
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    (tmp_path / "study.yaml").write_text(FILE % data)
    log = tmp_path / "opened.log"
    done = contourney(
        "launch", str(tmp_path / "study.yaml"), "--name", "closed", "--workspace", str(tmp_path / "w"),
        PYTHONPATH=f"{tmp_path / 'hook'}:{ROOT}", OPENED=str(log), WATCHED=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    seen = [line.split(maxsplit=1) for line in log.read_text().splitlines()]
    opened = {Path(path) for _, path in seen}
    # The hook sees what is opened: training images by the driver, a trial's rows by a worker of another process.
    assert data / "images" / "00.png" in opened
    driver = {pid for pid, path in seen if path.endswith("images/00.png")}
    rows = Workspace.open(tmp_path / "w").trial_folder("closed", 0) / "epochs.jsonl"
    assert {pid for pid, path in seen if path == str(rows)} - driver
    names = {f"{number:02d}.png" for number in PARTS["test"]}
    assert not [path for path in opened if path.name in names]
