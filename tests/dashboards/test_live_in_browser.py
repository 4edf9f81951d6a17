"""The live pages in a real browser: drawn, growing, and keeping what a reader chose."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from optuna.trial import TrialState
from playwright.sync_api import Browser, Page, expect

from dashboards.palette import DARK, SURFACE
from tests.dashboards.live_pages import TOKEN, Served, serving
from tests.dashboards.studies import PROMOTION, Builder, write_pictures, write_row

pytestmark = pytest.mark.slow

EVIL = "<script>alert(1)</script>"
POINTS = "one => one.querySelectorAll('.scatterlayer .point').length"
PAPER = "one => one._fullLayout.paper_bgcolor"
RANGES = "one => [one._fullLayout.xaxis.range, one._fullLayout.yaxis.range].flat()"
# Bounds of waits, not durations: the page looks every two seconds.
WAIT_MS = 90_000


@dataclass
class Opened:
    page: Page
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[Builder, Served]]:
    """A study under way and one with a hostile name, with a server of their pages."""
    builder = Builder(tmp_path)
    for _ in range(2):
        write_pictures(builder.folder(builder.trial(6, TrialState.COMPLETE, "finished")))
    builder.trial([0.2], TrialState.FAIL, "error", error=f"Traceback\nRuntimeError: {EVIL}\n")
    builder.trial(3, TrialState.PRUNED, "pruned")
    builder.study.set_user_attr("promotion", PROMOTION)
    hostile = Builder(tmp_path, EVIL).study
    hostile.tell(hostile.ask(), 0.5)
    with serving(tmp_path) as served:
        yield builder, served


def open_page(browser: Browser, served: Served, path: str, width: int = 1200, scheme: str = "light") -> Opened:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    opened = Opened(context.new_page())
    opened.page.on("console", lambda message: opened.complaints.append(message.text))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("dialog", lambda dialog: opened.complaints.append(f"dialog: {dialog.message}"))
    opened.page.on(
        "request",
        lambda request: (
            opened.foreign.append(request.url)
            if not request.url.startswith((served.address, "data:", "blob:"))
            else None
        ),
    )
    opened.page.goto(served.address + path)
    return opened


def drag(page: Page, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw a rectangle with the mouse; places are shares of the element's width and height."""
    box = page.locator(selector).bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()


def wait_until(page: Page, expression: str) -> None:
    """Until a JavaScript expression holds; Playwright's own wait needs an eval, which the pages forbid."""
    for _ in range(WAIT_MS // 100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never came true: {expression}")


def scroll_through(page: Page) -> None:
    """Bring every figure into view and wait until it is drawn or says why it is not."""
    for figure in page.locator("[data-figure]").all():
        figure.scroll_into_view_if_needed()
        expect(figure.locator(".main-svg, .missing:not([hidden])").first).to_be_visible(timeout=WAIT_MS)


def test_every_page_is_drawn_without_a_complaint(live: tuple[Builder, Served], browser: Browser) -> None:
    _, served = live
    study, trial = served.study("terrain"), served.study("terrain", path="/trial/0")
    opened = open_page(browser, served, "/")
    page = opened.page
    paths = [f"{study}/trials", f"{study}/trial/2", f"{study}/compare?trial=0&trial=3", f"{study}/promotion"]
    for path in [*paths, f"{study}/table/history", served.study(EVIL), trial, study]:
        page.goto(served.address + path)
        scroll_through(page)
        assert opened.complaints == [], path
        assert opened.foreign == [], path
        assert page.locator("h1").count() == 1
        if path == trial:
            assert page.eval_on_selector("#curves", POINTS) == 18
            assert page.eval_on_selector("#classes", "one => one.querySelectorAll('.heatmaplayer image').length") == 1
    assert page.eval_on_selector("#history", POINTS) == 3
    assert page.eval_on_selector("#curves", POINTS) == 4
    assert page.eval_on_selector("#pictures", "one => one.querySelectorAll('image').length") == 16
    assert page.eval_on_selector("#history", PAPER) == SURFACE


def test_pages_fit_a_phone_in_the_dark(live: tuple[Builder, Served], browser: Browser) -> None:
    _, served = live
    study = served.study("terrain")
    opened = open_page(browser, served, "/", width=380, scheme="dark")
    for path in ("/", f"{study}/trials", f"{study}/compare?trial=0&trial=3", f"{study}/promotion"):
        opened.page.goto(served.address + path)
        scroll_through(opened.page)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 380, path
    assert opened.page.eval_on_selector("#promotion", PAPER) == DARK[SURFACE]
    assert opened.complaints == []


def test_a_hostile_name_is_text_everywhere(live: tuple[Builder, Served], browser: Browser) -> None:
    _, served = live
    opened = open_page(browser, served, "/")
    opened.page.get_by_role("link", name=EVIL).click()
    expect(opened.page.locator("h1")).to_have_text(EVIL)
    opened.page.goto(served.address + served.study("terrain", path="/trial/2"))
    expect(opened.page.locator("pre")).to_contain_text(f"RuntimeError: {EVIL}")
    assert opened.complaints == []


def test_a_study_grows_on_the_page_and_keeps_what_the_reader_chose(
    live: tuple[Builder, Served], browser: Browser
) -> None:
    builder, served = live
    opened = open_page(browser, served, served.study("terrain"))
    page = opened.page
    page.evaluate("window.sameDocument = true")
    for figure in ("#curves", "#history"):
        page.locator(figure).scroll_into_view_if_needed()
        expect(page.locator(f"{figure} .main-svg").first).to_be_visible(timeout=WAIT_MS)
    drag(page, "#history .nsewdrag", (0.3, 0.2), (0.7, 0.8))
    zoomed = page.eval_on_selector("#history", RANGES)
    page.locator("#curves .legendtoggle").first.click()
    wait_until(page, "document.getElementById('curves')._fullData[0].visible === 'legendonly'")
    page.locator("#history").scroll_into_view_if_needed()
    builder.trial([0.3, 0.55], TrialState.PRUNED, "stopped")
    running = builder.trial([0.1, 0.2], None, None)
    wait_until(page, "document.getElementById('history').data.some(trace => trace.name === 'stopped')")
    assert page.eval_on_selector("#history", RANGES) == zoomed
    page.locator("#curves").scroll_into_view_if_needed()
    drawn = "one => one._fullData.filter(trace => trace.visible === true).map(trace => trace.name)"
    wait_until(page, "document.getElementById('curves').data.some(trace => trace.name === 'running')")
    names = page.eval_on_selector("#curves", drawn)
    assert "complete" not in names and {"stopped", "pruned", "failed", "running"} <= set(names)
    # One more epoch of the trial that runs, as its worker and driver write it.
    write_row(builder.folder(running), 3, 0.3)
    running.report(0.3, 3)
    ends = (
        "Math.max(...document.getElementById('curves').data.find(t => t.name === 'running' && t.mode === 'markers').x)"
    )
    wait_until(page, f"{ends} === 3")
    expect(page.locator("#states")).to_contain_text("1 running")
    assert page.evaluate("window.sameDocument") is True
    assert opened.complaints == []


def test_a_trial_grows_and_a_choice_of_trials_stays(live: tuple[Builder, Served], browser: Browser) -> None:
    builder, served = live
    running = builder.trial([0.1], None, None)
    trials = open_page(browser, served, served.study("terrain", path="/trials"))
    trials.page.locator("#choose-0").check()
    trials.page.locator("#choose-3").focus()
    trial = open_page(browser, served, served.study("terrain", path="/trial/4"))
    expect(trial.page.locator("#epochs tbody tr")).to_have_count(1)
    write_row(builder.folder(running), 2, 0.35)
    running.report(0.35, 2)
    expect(trial.page.locator("#epochs tbody tr")).to_have_count(2, timeout=WAIT_MS)
    expect(trials.page.locator("#trials tbody tr").first).to_contain_text("running")
    expect(trials.page.locator("#trials tbody tr").first.locator("td").nth(4)).to_have_text("2", timeout=WAIT_MS)
    assert trials.page.locator("#choose-0").is_checked()
    expect(trials.page.locator("#choose-3")).to_be_focused()
    # By keyboard alone: choose the second one and compare.
    trials.page.keyboard.press("Space")
    trials.page.get_by_role("button", name="Compare the chosen trials").focus()
    trials.page.keyboard.press("Enter")
    expect(trials.page.locator("h1")).to_have_text("2 trials of terrain")
    assert trials.complaints == trial.complaints == []


def test_a_new_study_appears_and_pages_are_reached_by_keyboard(
    live: tuple[Builder, Served], browser: Browser, tmp_path: Path
) -> None:
    _, served = live
    opened = open_page(browser, served, "/")
    page = opened.page
    Builder(tmp_path, "a later one")
    expect(page.get_by_role("link", name="a later one")).to_be_visible(timeout=WAIT_MS)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "A":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("navigation", name="Pages of the study")).to_be_visible()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    page.get_by_role("link", name="Trials", exact=True).focus()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(outline) == "solid"
    assert opened.complaints == []


def test_a_point_leads_to_its_trial(live: tuple[Builder, Served], browser: Browser) -> None:
    _, served = live
    opened = open_page(browser, served, served.study("terrain"))
    point = opened.page.locator("#history .scatterlayer .point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(opened.page.locator("#history .hoverlayer text").first).to_be_visible()
    opened.page.mouse.down()
    opened.page.mouse.up()
    expect(opened.page.locator("h1")).to_have_text("Trial 0 of terrain")


def test_the_address_with_the_token_opens_every_page(tmp_path: Path, browser: Browser) -> None:
    builder = Builder(tmp_path)
    builder.trial(2, TrialState.COMPLETE, "finished")
    with serving(tmp_path, token=TOKEN) as served:
        opened = open_page(browser, served, "/?token=" + TOKEN.replace(" ", "+"))
        assert TOKEN not in opened.page.url.replace("%20", " ").replace("+", " ")
        opened.page.get_by_role("link", name="terrain").click()
        expect(opened.page.locator("#history .main-svg").first).to_be_visible(timeout=WAIT_MS)
        assert opened.complaints == []
        stranger = browser.new_context().new_page()
        stranger.goto(served.address)
        assert "needs its token" in stranger.inner_text("body")
    expect(opened.page.locator("#status")).to_have_text(
        "The dashboard does not answer; it is asked again.", timeout=WAIT_MS
    )
