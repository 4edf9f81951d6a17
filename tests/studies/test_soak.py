"""The soak in miniature: real servers, a driver that is killed, records that agree."""

import subprocess
import sys

import pytest

from tests.servers import postgres_binaries
from tests.studies.running import ROOT, environment


@pytest.mark.slow
@pytest.mark.skipif(postgres_binaries() is None, reason="PostgreSQL is not installed: apt-get install postgresql")
def test_killed_drivers_lose_nothing_on_real_servers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--kills", "2", "--trials", "10", "--no-page"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| trials lost | 0 |" in done.stdout
