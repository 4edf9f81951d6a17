"""The report in a real browser: drawn, offline, verbatim, and plain about what is missing."""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
from optuna.trial import TrialState
from playwright.sync_api import Browser, Page, expect

from dashboards.palette import DARK, SURFACE
from dashboards.report import write_report
from search.records.study import StudyRecord
from tests.dashboards.studies import PROMOTION, Builder

pytestmark = pytest.mark.slow

FIGURES = [
    "history",
    "expected-best",
    "importance",
    "importance-methods",
    "importance-classes",
    "curves",
    "parallel",
    "interactions",
    "contour",
    "losses",
    "class-iou",
    "class-difference",
    "class-curves",
    "pictures",
    "extremes",
    "extremes-compared",
    "cost",
    "pruning",
    "timeline",
]


@dataclass
class Opened:
    page: Page
    complaints: list[str]
    requests: list[str]


def open_report(browser: Browser, path: Path, width: int = 1200, scheme: str = "light") -> Opened:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    opened = Opened(page, [], [])
    page.on("console", lambda message: opened.complaints.append(message.text))
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("dialog", lambda dialog: opened.complaints.append(f"dialog: {dialog.message}"))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn=true]", timeout=180_000)
    return opened


@pytest.fixture(scope="module")
def report(full_study: StudyRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(replace(full_study, facts={**full_study.facts, "promotion": PROMOTION}), path)
    return path


@pytest.fixture(scope="module")
def opened(report: Path, browser: Browser) -> Opened:
    return open_report(browser, report)


def test_it_draws_every_figure_without_a_complaint_or_a_request(opened: Opened, report: Path) -> None:
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [report.as_uri()]
    drawn = opened.page.eval_on_selector_all(".plot", "all => all.filter(one => one.data).map(one => one.id)")
    assert set(drawn) == {"promotion", *FIGURES, "slice-0", "slice-1", "slice-2", "slice-3"}


def test_the_browser_draws_as_many_points_as_there_are_trials(opened: Opened) -> None:
    count = "(one, kind) => one.querySelectorAll('.scatterlayer .point').length"
    assert opened.page.eval_on_selector("#history", count) == 9 + 4 + 1 + 1
    # Ends of curves; the trial that ran out of memory at once has none.
    assert opened.page.eval_on_selector("#curves", count) == 18
    assert opened.page.eval_on_selector("#slice-0", count) == 15
    assert opened.page.eval_on_selector("#pictures", "one => one.querySelectorAll('image').length") == 4 * 4
    # Worst and best of four classes; the worst of each with the errors of three trials.
    assert opened.page.eval_on_selector("#extremes", "one => one.querySelectorAll('image').length") == 4 * 8
    assert opened.page.eval_on_selector("#extremes-compared", "one => one.querySelectorAll('image').length") == 5 * 4
    assert opened.page.eval_on_selector("#importance", "one => one.querySelectorAll('.bars .point').length") == 4


def test_figures_have_words_for_those_who_do_not_see_them(opened: Opened) -> None:
    page = opened.page
    assert page.eval_on_selector_all(".plot", "all => all.every(one => one.getAttribute('aria-label').length > 10)")
    for landmark in ("header", "nav[aria-label]", "main", "footer"):
        assert page.locator(landmark).count() == 1
    assert page.locator("figure details table").count() == page.locator(".plot").count()
    assert page.locator("figure[aria-labelledby]").count() == page.locator("figure").count()
    titles = page.eval_on_selector_all("figure", "all => all.map(one => one.getAttribute('aria-labelledby'))")
    assert all(page.locator(f"#{title}").count() == 1 for title in titles)
    links = page.eval_on_selector_all("nav a", "all => all.map(one => one.getAttribute('href'))")
    assert all(page.locator(link).count() == 1 for link in links)
    levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))


def test_the_header_states_best_test_counts_and_budget(opened: Opened) -> None:
    header = opened.page.locator("header").inner_text()
    for words in ("best validation mIoU", "test mIoU", "0.6012", "17 of 20", "4 pruned", "2 min 37 s"):
        assert words in header


def test_it_turns_dark_with_the_system_and_back(report: Path, browser: Browser) -> None:
    page = open_report(browser, report, scheme="dark").page
    background = "one => one._fullLayout.paper_bgcolor"
    assert page.eval_on_selector("#history", background) == DARK[SURFACE]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 21)"
    page.emulate_media(color_scheme="light")
    expect(page.locator("#history .main-svg").first).to_have_css("background-color", "rgb(255, 255, 255)")


def test_it_fits_from_phones_to_desktops_and_follows_the_window(report: Path, browser: Browser) -> None:
    opened = open_report(browser, report, width=360)
    too_wide = (
        "all => all.filter(one => one.firstElementChild && one.scrollWidth > one.clientWidth + 1).map(one => one.id)"
    )
    for width in (360, 768, 1600):
        opened.page.set_viewport_size({"width": width, "height": 900})
        drawn = opened.page.locator("#history .main-svg").first
        room = opened.page.eval_on_selector("#history", "one => one.clientWidth")
        expect(drawn).to_have_attribute("width", str(room))
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.page.eval_on_selector_all(".plot", too_wide) == []
    assert opened.complaints == []


def test_it_prints_in_light_colours_within_the_page(report: Path, browser: Browser, tmp_path: Path) -> None:
    opened = open_report(browser, report, scheme="dark")
    opened.page.evaluate(
        "addEventListener('beforeprint', () => { window.printed = ['history', 'slice-0'].map((id) => "
        "[document.getElementById(id)._fullLayout.paper_bgcolor, document.getElementById(id)._fullLayout.width]); })"
    )
    opened.page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert opened.page.evaluate("window.printed") == [[SURFACE, 640], [SURFACE, 310]]
    assert opened.complaints == []


def test_any_text_can_be_a_name(tmp_path: Path, browser: Browser) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"'{{ 7*7 }}"
    facts = {"metric": evil, "class_names": [evil] * 5, "split": "validation", "images": {"validation": 3}}
    builder = Builder(tmp_path, name=evil, facts=facts)
    builder.trial([0.5, 0.6], TrialState.COMPLETE, "finished")
    builder.trial([0.5], TrialState.FAIL, "error", error=evil)
    path = tmp_path / "report.html"
    write_report(builder.read(), path)
    opened = open_report(browser, path)
    assert opened.complaints == []
    assert opened.page.locator("h1").inner_text() == " ".join(evil.split())
    assert opened.page.title().startswith("</script><script>alert(1)</script>")
    assert opened.page.locator("img").count() == 0
    assert evil in opened.page.eval_on_selector("#class-iou", "one => one.querySelector('.ytick').textContent")


def test_without_trials_it_says_what_is_missing(builder: Builder, tmp_path: Path, browser: Browser) -> None:
    path = tmp_path / "report.html"
    write_report(builder.read(), path)
    opened = open_report(browser, path)
    text = opened.page.locator("main").inner_text()
    assert opened.complaints == []
    assert text.count("No trial has started yet.") >= 4
    assert "has not been promoted" in text
    assert opened.page.locator(".plot").count() == 0


def test_failed_trials_are_named_with_their_errors(builder: Builder, tmp_path: Path, browser: Browser) -> None:
    builder.trial([], TrialState.FAIL, "error", error="Traceback (most recent call last)\nOSError: no <space> left\n")
    path = tmp_path / "report.html"
    write_report(builder.read(), path)
    opened = open_report(browser, path)
    text = opened.page.locator("main").inner_text()
    assert "OSError: no <space> left" in text
    assert "No trial is complete yet: 1 failed." in text
    assert opened.complaints == []


def test_one_trial_is_a_report_that_does_not_overstate(builder: Builder, tmp_path: Path, browser: Browser) -> None:
    builder.trial([0.4, 0.5], TrialState.COMPLETE, "finished")
    path = tmp_path / "report.html"
    write_report(builder.read(), path)
    opened = open_report(browser, path)
    assert opened.complaints == []
    assert "1 ended trials with a value: at least 3 are needed" in opened.page.locator("main").inner_text()


def test_a_study_of_another_tool_has_a_report(tmp_path: Path, browser: Browser) -> None:
    builder = Builder(tmp_path, settings=None, facts=None)
    builder.trial([0.4, 0.5], TrialState.COMPLETE, None)
    path = tmp_path / "report.html"
    write_report(builder.read(), path)
    assert open_report(browser, path).complaints == []
