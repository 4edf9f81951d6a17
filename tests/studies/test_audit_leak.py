"""Near copies across training and validation: refused at a launch, or accepted and told by every report."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from studies.stored import open_study
from studies.workspace import Workspace
from tests.studies.commands import Call, caller, save, scene, write_scenes
from tests.studies.running import contourney, ready

STUDY = """
trial:
  epochs: 1
  batch_size: 4
  data: {format: folder, shares: [0.6, 0.4, 0.0]}
  model: {width: 2, depth: 1}
space:
  optimizer.lr: {low: 1e-4, high: 1e-2, log: true}
search: {trials: 1}
"""


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """A set whose images 00 to 29 come again as 30 to 59, a little brighter."""
    data = write_scenes(tmp_path / "data")
    for index in range(30):
        image, mask = scene(index)
        save(data, f"{index + 30:02d}", np.clip(image * 0.9 + 20, 0, 255).astype(np.uint8), mask)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def test_a_launch_is_refused_with_what_to_do(
    leaking: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(leaking)
    call: Call = caller(capsys, monkeypatch)
    code, _, err = call("launch", "study.yaml", "--data", "data")
    assert code == 2
    found = re.search(r"(\d+) of 24 validation images are the same or nearly the same as training images", err)
    assert found is not None
    assert int(found[1]) >= 8
    assert re.search(r"\d\d \(train\) and \d\d \(validation\), correlation 0\.99\d|1\.000", err)
    for words in ("data.split blocks or lists", "contourney audit", "--accept-leak"):
        assert words in err
    assert not (leaking / "workspace" / "optuna.journal").exists()
    # The list of the audit mends it.
    code, out, _ = call("audit", "data", "--set", "data.shares=[0.6, 0.4, 0.0]", "--json")
    dropped = list(json.loads(out)["drop"])
    (leaking / "mended.yaml").write_text(STUDY.replace("folder,", f"folder, drop: {json.dumps(dropped)},"))
    code, _, err = call("launch", "mended.yaml", "--data", "data", "--set", "resources.gpu=8")
    assert "nearly the same" not in err
    assert "a trial asks for 8 GPU" in err


@pytest.mark.slow
def test_an_accepted_leak_is_kept_and_told(leaking: Path) -> None:
    done = contourney("launch", str(leaking / "study.yaml"), "--data", str(leaking / "data"), "--workspace",
                      str(ready(leaking / "w")), "--accept-leak")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validation images have a near copy in training: accepted" in done.stdout
    leak = open_study("study", Workspace.open(leaking / "w")).user_attrs["facts"]["leak"]
    assert leak["of"] == 24
    assert len(leak["pairs"]) <= 20
    page = leaking / "report.html"
    reported = contourney("report", "study", "--workspace", str(leaking / "w"), "--output", str(page))
    assert reported.returncode == 0, reported.stderr
    assert f"Warning: {leak['images']} of 24 validation images" in page.read_text()
