"""What the pages say of a driver and of files that lie elsewhere, in a real browser."""

import shutil
from pathlib import Path

import pytest
from optuna.trial import TrialState
from playwright.sync_api import Browser, expect

from studies.workspace import Workspace
from tests.dashboards.live_pages import serving
from tests.dashboards.studies import Builder, write_pictures
from tests.dashboards.test_live_in_browser import EVIL, POINTS, WAIT_MS, open_page, scroll_through, wait_until
from tests.search.test_lease_record import HOLD
from tests.search.test_storage import holding

pytestmark = pytest.mark.slow


def test_a_killed_driver_is_told_on_the_open_page(tmp_path: Path, browser: Browser) -> None:
    builder = Builder(tmp_path, EVIL)
    builder.trial(2, TrialState.COMPLETE, "finished")
    builder.trial([0.2], None, None)
    with serving(tmp_path) as served:
        with holding(HOLD, builder.storage, EVIL) as pid:
            opened = open_page(browser, served, served.study(EVIL))
            page = opened.page
            page.evaluate("window.sameDocument = true")
            expect(page.locator("#headline")).to_contain_text(f"running: process {pid} on ")
        expect(page.locator("#headline .state")).to_have_text("interrupted", timeout=WAIT_MS)
        expect(page.locator("#headline")).to_contain_text(f"contourney resume '{EVIL}' goes on")
        assert page.evaluate("window.sameDocument") is True
        page.goto(served.address)
        expect(page.locator(".state.interrupted")).to_have_count(1)
        assert opened.complaints == []


def test_a_trial_that_is_kept_elsewhere_is_drawn_and_its_log_scrolls_by_keyboard(
    tmp_path: Path, browser: Browser
) -> None:
    place = Workspace.open(tmp_path)
    builder = Builder(tmp_path, "s")
    trial = builder.trial(6, TrialState.COMPLETE, "finished")
    source, folder = builder.folder(trial), place.trial_folder("s", 0)
    write_pictures(source)
    (source / "worker.log").write_text("".join(f"line {index} {EVIL}\n" for index in range(150)))
    kept = tmp_path / "bucket" / place.study_folder("s").name / "trials" / folder.name
    kept.parent.mkdir(parents=True)
    shutil.move(source, kept)
    builder.study.set_user_attr("storage", (tmp_path / "bucket").as_uri())
    other = builder.ask()
    other.set_user_attr("folder", str(place.trial_folder("s", 1).relative_to(tmp_path)))
    other.report(0.5, 1)
    with serving(tmp_path) as served:
        opened = open_page(browser, served, served.study("s", path="/trial/1"))
        page = opened.page
        expect(page.locator("#failure")).to_contain_text("and none is there")
        shutil.move(kept, kept.with_name("00001"))
        # The look that follows the next epoch finds the files.
        other.report(0.6, 2)
        expect(page.locator("#epochs tbody tr")).to_have_count(6, timeout=WAIT_MS)
        expect(page.locator("#logs pre")).to_contain_text(f"line 149 {EVIL}")
        page.reload()
        scroll_through(page)
        assert page.eval_on_selector("#pictures", "one => one.querySelectorAll('image').length") > 0
        assert page.eval_on_selector("#curves", POINTS) == 2 + 6 + 6
        page.locator("#logs pre").focus()
        page.keyboard.press("End")
        wait_until(page, "document.querySelector('#logs pre').scrollTop > 0")
        assert opened.complaints == []
