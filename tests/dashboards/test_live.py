"""The live pages as a browser asks for them, without one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

from dashboards.live.access import Access, DashboardError
from dashboards.live.drawing import THINNED, thinned
from dashboards.live.overview import mlflow_link
from search.records.study import StudyRecord
from studies.cli.app import app
from tests.dashboards.live_pages import TOKEN, Served, serving
from tests.dashboards.studies import PROMOTION, Builder, write_pictures

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a trial of each kind, one with a hostile name, one that leads out of its folder."""
    root = tmp_path_factory.mktemp("live")
    builder = Builder(root)
    for _ in range(3):
        write_pictures(builder.folder(builder.trial(6, TrialState.COMPLETE, "finished", mlflow_run_id="0ff1ce")))
    builder.trial(3, TrialState.PRUNED, "pruned")
    failed = builder.trial([0.2], TrialState.FAIL, "error", error="Traceback\nRuntimeError: <b>the disk</b> is full\n")
    (builder.folder(failed) / "worker.log").write_text("first\n" + "x" * 70_000 + "\nlast <i>words</i>\n")
    builder.trial([0.2, 0.3], None, None)
    builder.study.set_user_attr("promotion", PROMOTION)
    for name in (EVIL, "../../etc"):
        other = Builder(root, name)
        trial = other.study.ask()
        trial.set_user_attr("folder", "../elsewhere")
        trial.set_user_attr("error", EVIL)
        other.study.tell(trial, 0.5)
    return root


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Served]:
    with serving(root, tracking="http://user:secret@tracking:5000/") as served:
        yield served


def test_every_page_answers_and_names_are_text(served: Served) -> None:
    paths = ["/", *(served.study(name) for name in ("terrain", EVIL, "../../etc"))]
    for name in ("terrain", EVIL, "../../etc"):
        paths += [served.study(name, path=path) for path in ("/trials", "/trial/0", "/promotion", "/table/history")]
    for path in [*paths, served.study("terrain", path="/compare?trial=0&trial=3")]:
        answer = served.get(path)
        assert answer.status == 200, path
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert EVIL not in answer.text
    listed = served.get("/").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in listed
    assert "../../etc" in listed


def test_the_figures_of_a_page_are_json_with_words(served: Served) -> None:
    for key in ("history", "curves", "importance", "parallel", "class-iou", "pictures", "slice-0"):
        found = json.loads(served.get(served.study("terrain", path=f"/figure/{key}")).text)
        assert found["title"] and "missing" in found and found["figure"]["layout"]["meta"]["height"] > 0
    for key in ("curves", "classes", "pictures"):
        found = json.loads(served.get(served.study("terrain", path=f"/trial/0/figure/{key}")).text)
        assert found["missing"] is None
    curves = json.loads(served.get(served.study("terrain", path="/trial/0/figure/curves")).text)["figure"]["data"]
    assert [len(trace["x"]) for trace in curves] == [6, 6, 6]
    compared = json.loads(served.get(served.study("terrain", path="/compare/figure/curves?trial=0&trial=3")).text)
    assert compared["subtitle"].startswith("2 trials (1 complete, 1 pruned)")
    classes = json.loads(served.get(served.study("terrain", path="/compare/figure/classes?trial=0&trial=3")).text)
    assert "trial 0" in classes["subtitle"] and "trial 3" in classes["subtitle"]


def test_a_trial_says_settings_failure_log_and_its_run(served: Served) -> None:
    page = served.get(served.study("terrain", path="/trial/4")).text
    for words in ("failed", "&lt;b&gt;the disk&lt;/b&gt; is full", "last &lt;i&gt;words&lt;/i&gt;", "optimizer.lr"):
        assert words in page
    assert "first" not in page
    run = 'href="http://tracking:5000/#/runs/0ff1ce"'
    whole = served.get(served.study("terrain", path="/trial/0")).text
    assert run in whole and "secret" not in whole


def test_the_promotion_is_shown_with_its_record(served: Served) -> None:
    page = served.get(served.study("terrain", path="/promotion")).text
    for words in ("0.6012", "more data", "f" * 64, "test.iou.sand"):
        assert words in page
    figure = json.loads(served.get(served.study("terrain", path="/promotion/figure/promotion")).text)
    assert figure["missing"] is None
    assert "contourney promote" in served.get(served.study(EVIL, path="/promotion")).text


def test_a_choice_by_replicates_is_shown_with_finalists_pairs_and_intervals(tmp_path: Path) -> None:
    builder = Builder(tmp_path)
    builder.trial(2, TrialState.COMPLETE, "finished")
    one = {"pruned": False, "left_out": None, "sd": 0.01, "interval": [0.58, 0.62], "device_s": 90.0}
    choice = {
        "seeds": 3, "kind": "screen", "optimism": 0.0123, "seed_sd": 0.0101, "winner": 0,
        "finalists": [
            {"trial": 0, "value": 0.65, "mean": 0.6377, **one},
            {"trial": 1, "value": 0.64, "pruned": True, "left_out": "one run failed"},
        ],
        "pairs": [{"trials": [0, 1], "difference": 0.004, "se": 0.01, "df": 4, "p": 0.3, "p_holm": 0.3}],
    }  # fmt: skip
    interval = {
        "interval": [0.55, 0.64],
        "iou_interval": {"soil": [0.6, 0.8]},
        "resampling": {"words": "whole groups", "conditional": True},
    }
    unsure = {"unreliable": ["soil"], "images_with": {"soil": 3}}
    test = {**PROMOTION["test"], **interval, **unsure}
    builder.study.set_user_attr("promotion", {**PROMOTION, "choice": choice, "test": test, "gap": -0.05})
    with serving(tmp_path) as served:
        page = served.get(served.study("terrain", path="/promotion")).text
    for words in (
        "0.6377",
        "(trained to the end)",
        "one run failed",
        "whole groups",
        "not shown to differ",
        "0.5500 to 0.6400",
    ):
        assert words in page
    for words in (
        "in 3 images: unreliable",
        "3 other seeds each, a screen",
        "-0.0500",
        "its own mean over other seeds: +0.0123",
    ):
        assert words in page


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/nothing", 404, "Not Found"),
        ("/study/terrain", 404, "no such study"),
        ("/study/..%2f..%2fetc", 404, ""),
        ("/assets/..%2f..%2f..%2fpyproject.toml", 404, ""),
        ("/assets/live.py", 404, "no such page"),
        ("/figure/nothing", 404, "no figure"),
        ("/table/nothing", 404, "no figure"),
        ("/trial/99", 404, "no trial 99"),
        ("/trial/0/figure/nothing", 404, "no figure"),
        ("/promotion/figure/nothing", 404, "no figure"),
        ("/compare/figure/classes?trial=0&trial=1&trial=2", 404, "of 3 trials"),
        ("/trials?sort=nothing", 400, "newest, number, best, state"),
        ("/trials?page=-1", 400, "expected a number"),
        ("/compare?trial=0", 400, "choose 2 to 8 trials"),
        ("/compare?trial=0&trial=x", 400, "expected a number"),
    ],
)
def test_what_is_not_there_is_said(served: Served, path: str, status: int, words: str) -> None:
    own = path.startswith(("/nothing", "/study", "/assets"))
    answer = served.get(path if own else served.study("terrain", path=path))
    assert answer.status == status
    assert words in answer.text


def test_it_is_read_and_never_written(served: Served) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = served.get("/", method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    head = served.get("/", "HEAD")
    assert (head.status, head.text) == (200, "")


def test_every_answer_has_the_headers_that_keep_a_browser_safe(served: Served) -> None:
    for path, method in (("/", "GET"), ("/nothing", "GET"), ("/", "POST"), ("/assets/live.js", "GET")):
        headers = served.get(path, method).headers
        assert "script-src 'self';" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
    assert "immutable" in served.get("/assets/plotly.js").headers["cache-control"]


def test_another_host_name_is_refused(served: Served) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        assert served.get("/", headers={"Host": host}).status == 400
    for host in ("localhost", "127.0.0.1:1", "[::1]:8270", "LOCALHOST:8270"):
        assert served.get("/", headers={"Host": host}).status == 200


def test_a_token_opens_once_and_a_cookie_from_then_on(root: Path) -> None:
    with serving(root, token=TOKEN) as served:
        for path in (
            "/",
            "/assets/live.js",
            "/?token=wrong",
            "/?token=%C3%A9",
            f"/?token={TOKEN[:-1]}".replace(" ", "+"),
        ):
            refused = served.get(path)
            assert refused.status == 401
            assert TOKEN not in refused.text
        opened = served.get("//evil.example/%2e?sort=best&token=" + TOKEN.replace(" ", "+"))
        assert opened.status == 303
        assert opened.headers["location"] == "/evil.example/.?sort=best"
        cookie = opened.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
        assert served.get("/", headers={"Cookie": cookie.partition(";")[0]}).status == 200
        assert served.get("/", headers={"Cookie": f"{cookie.partition('=')[0]}=wrong"}).status == 401
        assert served.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200


def test_for_others_a_token_is_required_and_no_short_one() -> None:
    with pytest.raises(DashboardError, match=r"--host 0\.0\.0\.0: others can reach this address.*--token"):
        Access.of("0.0.0.0", 8270, None)
    with pytest.raises(DashboardError, match="--token: expected at least 16 printable ASCII characters, got 5"):
        Access.of("127.0.0.1", 8270, "short")
    everywhere = Access.of("0.0.0.0", 8270, TOKEN)
    assert all(map(everywhere.knows, ("10.0.0.7:8270", "[fe80::1]:8270", "localhost", socket.gethostname())))
    assert not everywhere.knows("evil.example")
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        assert Access.of(host, 8270, None).token is None


def test_an_address_that_cannot_be_had_is_refused(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = CliRunner().invoke(app, ["dashboard", "--port", str(port), "--workspace", str(root)])
    assert isinstance(found.exception, DashboardError)
    assert str(found.exception).startswith(f"port {port} of 127.0.0.1 is taken")
    found = CliRunner().invoke(app, ["dashboard", "--host", "no.such.host.invalid", "--token", TOKEN])
    assert "no address of this machine" in str(found.exception)


@pytest.mark.slow
def test_it_says_where_it_is_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    Builder(tmp_path).trial(2, TrialState.COMPLETE, "finished")
    command = [sys.executable, "-m", "studies.cli", "dashboard", "--port", "0", "--token", "sixteen&characters"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, "--workspace", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
        text=True,
        # A shell starts what it runs in the background with SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.readline().startswith("index: none yet; all records are read once")
        built = running.stdout.readline()
        assert re.fullmatch(r"index: 1 trial; \d+ new records and 2 new epochs read in \d+\.\d s\n", built)
        line = running.stdout.readline()
        address, _, rest = line.removeprefix("dashboard: ").partition(" ")
        assert rest == "(Ctrl-C ends it)\n"
        assert address.endswith("/?token=sixteen%26characters")
        served = Served(int(address.split(":")[2].partition("/")[0]))
        page = served.get("/", headers={"Authorization": "Bearer sixteen&characters"}).text
        assert ">terrain</a>" in page
        served.get("/?token=sixteen%26characters")
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=180) == 130
        assert running.stdout.read() == ""
    assert sorted(os.listdir(tmp_path)) == ["cache", "optuna.journal", "studies"]


def test_an_empty_workspace_says_so_and_stays_empty(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        assert "No study is here yet." in served.get("/").text
    assert os.listdir(tmp_path) == []


def test_only_a_tracking_server_is_linked() -> None:
    assert mlflow_link("sqlite:///mlflow.db", "1") is None
    assert mlflow_link("javascript:alert(1)", "1") is None
    assert mlflow_link("https://host/base/", None) is None
    assert mlflow_link("https://u:p@host/base/", "a/b") == "https://host/base/#/runs/a%2Fb"


def test_a_journal_that_is_none_is_a_page_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "optuna.journal").write_text("something else\n")
    with serving(tmp_path) as served:
        answer = served.get("/")
    assert answer.status == 503
    assert "no record of Optuna&#39;s journal" in answer.text


def test_rows_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    builder = Builder(tmp_path)
    folder = builder.folder(builder.trial(2, TrialState.COMPLETE, "finished"))
    (folder / "epochs.jsonl").write_text("no row\n")
    with serving(tmp_path) as served:
        for path in ("/trial/0", "/trial/0/figure/curves", "/figure/class-iou"):
            answer = served.get(served.study("terrain", path=path))
            assert answer.status == 503
            assert "epochs.jsonl, line 1: expected one epoch" in answer.text
        assert served.get(served.study("terrain")).status == 200


def test_many_trials_are_thinned_and_extremes_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, most = _many(tmp_path, 60), 10
    kept = thinned(study, most)
    assert most <= len(kept.trials) < 2 * most
    assert thinned(kept, 10_000) is kept
    numbers = {trial.number for trial in kept.trials}
    assert {trial.number for trial in study.trials if trial.state == "RUNNING"} <= numbers
    for epoch in (1, 2):
        having = [trial for trial in study.trials if epoch in trial.values]
        assert max(having, key=lambda trial: trial.values[epoch]).number in numbers
        assert min(having, key=lambda trial: trial.values[epoch]).number in numbers
    monkeypatch.setitem(THINNED, "curves", most)
    with serving(tmp_path) as served:
        curves = json.loads(served.get(served.study("terrain", path="/figure/curves")).text)
        assert curves["notes"][-1].startswith(f"{len(kept.trials)} of {len(study.trials)} trials are drawn")
        importance = json.loads(served.get(served.study("terrain", path="/figure/importance")).text)
        assert f"{len(study.trials) - 1} trials" in importance["subtitle"]


def _many(root: Path, count: int) -> StudyRecord:
    builder = Builder(root)
    for index in range(count - 1):
        trial = builder.ask()
        value = 0.5 + 0.3 * ((index * 7919) % count) / count
        trial.report(1 - value, 1)
        trial.report(value, 2)
        builder.study.tell(trial, value)
    builder.ask().report(0.4, 1)
    return builder.read()
