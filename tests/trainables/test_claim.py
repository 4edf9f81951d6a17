"""One process writes to a trial's folder."""

import subprocess
import sys

import pytest

from trainables.claim import Claim, FolderHeld

HOLDER = """
import sys, time
from pathlib import Path
from trainables.claim import Claim
claim = Claim(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_that_is_held_is_refused_with_its_holder(holder, tmp_path):
    with pytest.raises(FolderHeld, match=rf"process {holder.pid} on .* has trained in .* end it, then run"):
        Claim(tmp_path, waits_s=0.0)


def test_a_dead_holders_folder_is_free(holder, tmp_path):
    holder.kill()
    holder.wait()
    Claim(tmp_path, waits_s=0.0).release()


def test_who_waits_goes_on_when_the_holder_ends(holder, tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as waiting:
        holder.kill()
        assert waiting.stdout.readline() == "held\n"
        waiting.kill()


def test_the_same_process_takes_it_again(tmp_path):
    first = Claim(tmp_path, waits_s=0.0)
    second = Claim(tmp_path, waits_s=0.0)
    first.release()
    second.release()
