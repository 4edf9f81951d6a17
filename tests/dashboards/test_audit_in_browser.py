"""The audit's page in a real browser."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from studies.audit.page import write_page
from studies.audit.run import run_audit
from tests.studies.commands import save, scene, write_scenes
from trainables.data.settings import DataSettings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1200, "dark")])
def test_it_is_drawn_without_a_complaint(tmp_path: Path, browser: Browser, width: int, scheme: str) -> None:
    data = write_scenes(tmp_path / "data")
    for name, seed in (("03", 901), ("04", 902), ("05", 903)):
        save(data, name, scene(seed)[0], scene(900)[1])
    page = tmp_path / "audit.html"
    write_page(run_audit(DataSettings(root=str(data), shares=(0.7, 0.3, 0.0)), guessed=True), page)
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
    opened.goto(page.as_uri())
    opened.wait_for_selector("html[data-drawn=true]", timeout=180_000)
    drawn = opened.eval_on_selector_all(".plot", "all => all.filter(one => one.data).map(one => one.id)")
    assert drawn == ["classes", "unlabelled"]
    assert opened.locator("#contaminated-title").count() == 1
    # Every picture could be decoded.
    assert opened.evaluate("[...document.images].every(one => one.naturalWidth > 0)")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
    context.close()
