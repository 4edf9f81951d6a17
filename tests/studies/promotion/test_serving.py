"""A registered model as a service: by the words of its card, in a process that has MLflow and not this repository."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from dashboards.masks import read_pictures
from studies.files.study_settings import CONFIRM
from studies.workspace import Workspace
from tests.servers import free_port, wait_for
from tests.studies.commands import Call, caller
from tests.studies.promotion.trained import NAME
from tests.studies.running import environment
from trainables.data.formats.decode import decode_mask

pytestmark = pytest.mark.slow


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


def test_the_commands_of_the_card_serve_a_picture_as_predict_does(
    together: tuple[Workspace, list[dict[str, Any]]], call: Call, tmp_path: Path
) -> None:
    place, _ = together
    folder = place.trial_folder(NAME + CONFIRM, 0)
    picture = read_pictures(folder / "pictures.npz")[0].image_HWC[:50, :70, 0]
    Image.fromarray(picture).save(tmp_path / "picture.png")
    card = (folder / "model_card.md").read_text(encoding="utf-8")
    found = re.search(r"```sh\n(contourney .*?)\n(mlflow .*?)\n(python .*?)\n(curl .*?)\n```", card, re.DOTALL)
    assert found is not None, card
    predict, serve, read, ask = found.groups()
    code, _, err = call(*predict.replace("picture.png", str(tmp_path / "picture.png")).split()[1:-1],
                        str(tmp_path / "masks"), "--workspace", str(place.root))  # fmt: skip
    assert code == 0, err
    port = str(free_port())
    own = environment(MLFLOW_TRACKING_URI=place.tracking, MLFLOW_DISABLE_TELEMETRY="true", PYTHONPATH="")
    own["PATH"] = f"{Path(sys.executable).parent}:{own['PATH']}"
    shell = {"cwd": tmp_path, "env": own, "shell": True, "text": True}
    with serving(serve.replace("5001", port), shell, tmp_path / "log") as log:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/ping"), log, 60)
        subprocess.run(read, check=True, **shell)
        came = subprocess.run(ask.replace("5001", port) + " -sS", check=True, capture_output=True, **shell).stdout
    (mask_HW,) = json.loads(came)["predictions"]
    assert np.array_equal(np.array(mask_HW), decode_mask(tmp_path / "masks" / "picture.png"))
    assert len(np.unique(mask_HW)) > 1


@contextmanager
def serving(command: str, shell: dict[str, Any], log: Path) -> Iterator[str]:
    """The command in a process group of its own, which ends with the context."""
    with (
        log.open("w") as file,
        subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, **shell) as process,
    ):
        try:
            yield str(log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def answers(url: str) -> bool:
    with suppress(URLError, ConnectionError), urlopen(url, timeout=5) as reply:
        return bool(reply.status == 200)
    return False
