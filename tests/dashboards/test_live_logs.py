"""What a trial printed: the files that Ray writes for its workers, found by process and session."""

import json
import socket
import time
from pathlib import Path

from optuna.trial import TrialState

from dashboards.live.logs import log_tails, no_log_words
from search.records.study import TrialRecord, read_study
from tests.dashboards.studies import Builder

PROCESS = 541
STARTED_S = time.mktime((2026, 11, 21, 18, 27, 50, 0, 0, -1))


def worker_log(ray: Path, session: str, process: int, text: str) -> str:
    logs = ray / f"session_{session}_794225_318" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    name = f"worker-dd2c79da-01000000-{process}.out"
    (logs / name).write_text(f":job_id:01000000\n:actor_name:TrialWorker\n{text}")
    return name


def trained_by(root: Path, worker: str) -> TrialRecord:
    root.mkdir()
    builder = Builder(root)
    trial = builder.trial(1, TrialState.COMPLETE, "finished")
    rows = builder.folder(trial) / "epochs.jsonl"
    row = json.loads(rows.read_text())
    rows.write_text(json.dumps({**row, "worker": worker, "started_s": STARTED_S}) + "\n")
    return read_study(builder.storage, builder.name, root).trials[0]


def test_a_worker_of_this_machine_is_found_in_the_session_that_it_trained_in(tmp_path: Path) -> None:
    trial = trained_by(tmp_path / "w", f"{socket.gethostname()}:{PROCESS}")
    ray = tmp_path / "ray"
    for session, text in (("09-00-00", "earlier"), ("18-40-00", "later")):
        worker_log(ray, f"2026-11-21_{session}", PROCESS, f"{text}\n")
    name = worker_log(ray, "2026-11-21_18-27-48", PROCESS, "said <b>this</b>\n")
    worker_log(ray, "2026-11-21_18-27-48", 1000 + PROCESS, "another worker\n")
    assert log_tails(trial, ray) == {name: "said <b>this</b>"}


def test_what_printed_nothing_or_ran_elsewhere_says_where_to_look(tmp_path: Path) -> None:
    ray = tmp_path / "ray"
    worker_log(ray, "2026-11-21_18-27-48", PROCESS, "")
    here = trained_by(tmp_path / "here", f"{socket.gethostname()}:{PROCESS}")
    assert log_tails(here, ray) == {}
    worker_log(ray, "2026-11-21_18-27-48", PROCESS, "of this machine\n")
    elsewhere = trained_by(tmp_path / "elsewhere", f"node7.example.org:{PROCESS}")
    assert log_tails(elsewhere, ray) == {}
    assert no_log_words(elsewhere).endswith(f"node and process of this trial: node7.example.org:{PROCESS}.")
