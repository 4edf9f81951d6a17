"""Studies to draw, and a real browser to draw them in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState
from playwright.sync_api import Browser, sync_playwright

from search.records.study import StudyRecord
from tests.dashboards.studies import Builder, write_extremes, write_pictures


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


@pytest.fixture(scope="session")
def full_study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    """Every way a trial can end or stand: 9 complete, 4 pruned, 1 each of the others."""
    builder = Builder(tmp_path_factory.mktemp("full"))
    for index in range(13):
        if index % 3 == 2:
            builder.trial(3, TrialState.PRUNED, "pruned")
        else:
            folder = builder.folder(builder.trial(6, TrialState.COMPLETE, "finished"))
            write_pictures(folder)
            write_extremes(folder, seed=index, wrong=0.8)
    builder.trial([0.3, 0.05], TrialState.PRUNED, "diverged")
    builder.trial([], TrialState.PRUNED, "out_of_memory")
    builder.trial([0.2, 0.25], TrialState.PRUNED, "stopped")
    builder.trial([0.2], TrialState.FAIL, "error", error="Traceback\nRuntimeError: <b>the disk</b> is full\n")
    builder.trial([0.2, 0.3, 0.4], None, None)
    builder.trial([0.1, 0.2], TrialState.WAITING, "interrupted")
    return builder.read()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium or Playwright's own; skipped aloud where there is neither."""
    with sync_playwright() as playwright:
        executable = shutil.which("chromium") or shutil.which("google-chrome") or playwright.chromium.executable_path
        if not Path(executable).exists():
            pytest.skip("no browser: apt-get install chromium, or playwright install chromium")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        launched = playwright.chromium.launch(executable_path=executable, args=flags)
        yield launched
        launched.close()
