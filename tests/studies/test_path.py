"""The whole path in miniature: launch, interrupt, resume, compare the records, report, promote."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import numpy as np
import optuna
import optuna_dashboard
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search.storage import open_storage
from studies.stored import confirm_study, open_study
from studies.workspace import Workspace
from tests.studies.running import ROOT, command, contourney, environment

pytestmark = pytest.mark.slow

NAME = "terrain <mini>"
TRIALS = 8
EPOCHS = 4
SETTINGS = [
    "trial.data.terrain={images: 40, seed: 1}",
    f"trial.epochs={EPOCHS}",
    "trial.model.width=2",
    "trial.model.depth=2",
    "search.audit=0.2",
    "promotion={finalists: 2, seeds: 2}",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a study that was interrupted once and resumed to its end."""
    root = tmp_path_factory.mktemp("path") / "w"
    launch = command("launch", "terrain-demo", "--name", NAME, "--workspace", str(root), "--trials", str(TRIALS))
    for setting in SETTINGS:
        launch += ["--set", setting]
    with subprocess.Popen(launch, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line.startswith("[2/"):
                process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130, "".join(seen)
    assert "contourney resume" in seen[-1]
    study = open_study(NAME, Workspace.open(root))
    assert not study.get_trials(states=(TrialState.RUNNING,))
    assert len(study.trials) < TRIALS or study.get_trials(states=(TrialState.WAITING,))
    done = contourney("resume", NAME, "--workspace", str(root))
    assert done.returncode == 0, done.stdout + done.stderr
    return Workspace.open(root)


@pytest.fixture(scope="module")
def study(place: Workspace) -> optuna.Study:
    return open_study(NAME, place)


@pytest.fixture(scope="module")
def runs(place: Workspace) -> dict[str, Run]:
    client = MlflowClient(place.tracking)
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    return {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}


def test_exactly_the_budget_ends_and_no_proposal_is_repeated(study: optuna.Study) -> None:
    assert len(study.trials) == TRIALS
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert len({tuple(sorted(trial.params.items())) for trial in study.trials}) == TRIALS


def test_every_epoch_is_recorded_once_everywhere(study: optuna.Study, place: Workspace, runs: dict[str, Run]) -> None:
    client = MlflowClient(place.tracking)
    for trial in study.trials:
        text = (place.trial_folder(NAME, trial.number) / "epochs.jsonl").read_text()
        rows = [json.loads(line) for line in text.splitlines()]
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        assert {row["epoch"]: row["value"] for row in rows} == trial.intermediate_values
        for name in ("val/miou", "val/loss", "val/ce", "val/pixel_accuracy", "train/loss", "lr"):
            history = client.get_metric_history(trial.user_attrs["mlflow_run_id"], name)
            assert sorted((point.step, point.value) for point in history) == [
                (row["epoch"], row["metrics"][name]) for row in rows
            ]


def test_pruned_trials_ended_early_and_complete_ones_have_their_best_value(study: optuna.Study) -> None:
    for trial in study.trials:
        if trial.state is TrialState.PRUNED:
            assert trial.last_step == 3
        else:
            assert trial.value == max(trial.intermediate_values.values())
    assert any(trial.state is TrialState.PRUNED for trial in study.trials)


def test_mlflow_counts_the_same_under_one_parent(study: optuna.Study, runs: dict[str, Run]) -> None:
    (parent,) = [run for run in runs.values() if run.data.tags.get("contourney.study") == NAME]
    assert parent.info.status == "FINISHED"
    children = [run for run in runs.values() if "contourney.trial" in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    status = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED"}
    assert sorted(run.info.status for run in children) == sorted(status[trial.state] for trial in study.trials)


def test_latency_is_measured_once_and_is_the_same_everywhere(
    study: optuna.Study, place: Workspace, tmp_path: Path
) -> None:
    client = MlflowClient(place.tracking)
    for trial in study.trials:
        kept = json.loads((place.trial_folder(NAME, trial.number) / "latency.json").read_text())
        assert kept["latency_ms"] > 0
        assert trial.user_attrs["latency_ms"] == kept["latency_ms"]
        assert trial.user_attrs["latency_device"] == kept["device"]
        told = client.download_artifacts(trial.user_attrs["mlflow_run_id"], "latency.json", str(tmp_path))
        assert json.loads(Path(told).read_text()) == kept


def test_the_best_value_is_recomputed_in_a_new_process_to_six_digits(study: optuna.Study, place: Workspace) -> None:
    folder = place.trial_folder(NAME, study.best_trial.number)
    code = f"""
from pathlib import Path
import torch
from trainables.data.dataset import prepare
from trainables.data.splits import Split
from trainables.evaluate import evaluate_checkpoint
from trainables.settings import TrialSettings
torch.set_num_threads(1)
best = Path({str(folder / "best.pt")!r})
settings = TrialSettings.model_validate_json(torch.load(best, weights_only=True)["settings"])
data = prepare(settings.data, Split.VALIDATION, Path({str(place.cache)!r}))
print(repr(evaluate_checkpoint(best, settings, data).miou))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(study.best_value, abs=5e-7)


def test_optunas_own_tools_show_the_study(place: Workspace, study: optuna.Study) -> None:
    storage = JournalStorage(JournalFileBackend(place.storage))
    assert optuna.load_study(study_name=NAME, storage=storage).best_value == study.best_value
    environ: dict[str, Any] = {"PATH_INFO": "/api/studies"}
    setup_testing_defaults(environ)
    answer = json.loads(b"".join(optuna_dashboard.wsgi(storage)(environ, lambda *_: None)))
    assert [one["study_name"] for one in answer["study_summaries"]] == [NAME]


def test_a_second_launch_under_the_name_is_refused_with_what_to_do(place: Workspace) -> None:
    done = contourney("launch", "terrain-demo", "--name", NAME, "--workspace", str(place.root))
    assert done.returncode == 2
    assert all(word in done.stderr for word in ("contourney resume", "contourney extend", "--name"))


def test_status_and_list(place: Workspace, study: optuna.Study) -> None:
    found = json.loads(contourney("status", NAME, "--workspace", str(place.root), "--json").stdout)
    assert found["best"]["value"] == study.best_value
    assert found["counts"]["COMPLETE"] + found["counts"]["PRUNED"] == TRIALS
    listed = contourney("list", "--workspace", str(place.root))
    assert NAME in listed.stdout


def test_extend_goes_on_to_the_new_total(place: Workspace, study: optuna.Study) -> None:
    refused = contourney("extend", NAME, "--trials", "3", "--workspace", str(place.root))
    assert refused.returncode == 2
    assert "must be above the present" in refused.stderr
    done = contourney("extend", NAME, "--trials", str(TRIALS + 1), "--workspace", str(place.root))
    assert done.returncode == 0, done.stdout + done.stderr
    again = optuna.load_study(study_name=NAME, storage=open_storage(place.storage))
    assert len(again.trials) == TRIALS + 1
    assert again.user_attrs["study"]["search"]["trials"] == TRIALS + 1


def test_the_report_is_one_page_with_the_name_as_text(place: Workspace, tmp_path: Path) -> None:
    done = contourney("report", NAME, "--workspace", str(place.root), "--output", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text()
    assert "<mini>" not in page
    assert "terrain &lt;mini&gt;" in page
    assert "importance" in page.lower()


@pytest.fixture(scope="module")
def promotion(place: Workspace) -> dict[str, Any]:
    """The record of a promotion that was killed when its first replicate had ended, and of the same command again."""
    asked = command("promote", NAME, "--workspace", str(place.root))
    with subprocess.Popen(asked, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = next((line for line in process.stdout if line.startswith("[1/")), "")
        process.kill()
        process.communicate()
    assert said.startswith("[1/4] replicate")
    done = contourney("promote", NAME, "--workspace", str(place.root), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_killed_promotion_goes_on_and_trains_nothing_twice(promotion: dict[str, Any], place: Workspace) -> None:
    confirm = confirm_study(NAME, place)
    assert confirm is not None
    assert [trial.state for trial in confirm.trials] == [TrialState.COMPLETE] * 4
    for trial in confirm.trials:
        text = (place.trial_folder(f"{NAME}/confirm", trial.number) / "epochs.jsonl").read_text()
        assert [json.loads(line)["epoch"] for line in text.splitlines()] == list(range(1, EPOCHS + 1))
    assert promotion["opening"] == 1


def test_the_winner_is_chosen_by_replicates(promotion: dict[str, Any], place: Workspace) -> None:
    choice, trials = promotion["choice"], open_study(NAME, place).trials
    complete = sorted((t for t in trials if t.state is TrialState.COMPLETE), key=lambda t: (-t.values[0], t.number))
    assert [one["trial"] for one in choice["finalists"]] == [trial.number for trial in complete[:2]]
    confirm = confirm_study(NAME, place)
    assert confirm is not None
    for one in choice["finalists"]:
        runs = [confirm.trials[number] for number in one["runs"]]
        assert [run.user_attrs["seed"] for run in runs] == one["seeds"] == [1, 2]
        # Their matrices per image give what was recorded in training; the search's value is not in the mean.
        assert one["miou"] == pytest.approx([run.value for run in runs], abs=5e-7)
        assert one["mean"] == pytest.approx(np.mean(one["miou"]), abs=1e-12)
        assert one["value"] == trials[one["trial"]].value
        for run in runs:
            assert run.last_step == EPOCHS
            assert run.user_attrs["settings"]["data"]["split_seed"] == 0
    assert choice["winner"] == max(choice["finalists"], key=lambda one: one["mean"])["trial"]
    assert (choice["kind"], choice["declared"]) == ("screen", True)


def test_the_winner_of_the_search_is_evaluated_on_the_test_split(promotion: dict[str, Any], place: Workspace) -> None:
    best = open_study(NAME, place).trials[promotion["choice"]["winner"]]
    assert promotion["trial"] == best.number
    assert promotion["opening"] == 1
    assert promotion["validation"]["miou"] == pytest.approx(best.value, abs=5e-7)
    low, high = promotion["test"]["interval"]
    assert low < promotion["test"]["miou"] < high
    assert promotion["gap"] == promotion["test"]["miou"] - promotion["validation"]["miou"]
    assert set(promotion["test"]["unreliable"]) == set(promotion["test"]["iou"])
    counts = np.array(promotion["test"]["confusion"])
    with np.load(place.trial_folder(NAME, best.number) / "test_per_image_confusion.npz") as kept:
        assert (kept["counts_NKK"].sum(axis=0) == counts).all()
    assert counts.sum() == promotion["test"]["images"] * 64 * 128
    correct = counts.diagonal()
    present = counts.sum(axis=1) > 0
    union = counts.sum(axis=1) + counts.sum(axis=0) - correct
    assert promotion["test"]["miou"] == pytest.approx((correct[present] / union[present]).mean(), abs=1e-12)


def test_the_champion_answers_through_mlflow(promotion: dict[str, Any], place: Workspace) -> None:
    client = MlflowClient(place.tracking)
    version = client.get_model_version_by_alias(NAME, "champion")
    assert version.run_id == promotion["mlflow_run_id"]
    run = client.get_run(version.run_id)
    assert run.data.metrics["test/miou"] == promotion["test"]["miou"]
    assert "contourney.trial" not in run.data.tags
    assert [entry.path for entry in client.list_artifacts(version.run_id, "pictures")]
    # As someone else would load it: MLflow alone, in a process of its own.
    code = f"""
import mlflow, numpy as np
mlflow.set_tracking_uri({place.tracking!r})
model = mlflow.pyfunc.load_model("models:/{NAME}@champion")
masks = model.predict(np.zeros((2, 64, 128, 1), dtype=np.uint8))
print(masks.shape, masks.dtype)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=place.root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "(2, 64, 128) uint8"


def test_a_second_promotion_needs_a_reason(promotion: dict[str, Any], place: Workspace) -> None:
    refused = contourney("promote", NAME, "--workspace", str(place.root))
    assert refused.returncode == 2
    assert "opening 1" in refused.stderr
    assert "--again" in refused.stderr
    # As it is this time: its figures are the same, and the record says that nothing was compared.
    number = str(promotion["trial"])
    again = contourney(
        "promote", NAME, "--trial", number, "--again", "a test of it", "--workspace", str(place.root), "--json"
    )
    assert again.returncode == 0, again.stdout + again.stderr
    found = json.loads(again.stdout)
    assert (found["opening"], found["chosen_by"]) == (2, "named by the user")
    assert "choice" not in found
    assert found["test"] == promotion["test"]


def test_the_ledger_is_shown_and_checked(promotion: dict[str, Any], place: Workspace, tmp_path: Path) -> None:
    found = json.loads(contourney("vault", "verify", "--workspace", str(place.root), "--json").stdout)
    (ledger,) = [one for one in found if one["fingerprint"] == promotion["fingerprint"]]
    # Heads in Optuna and in MLflow are the same where both have them.
    assert ledger["remembered"] >= 1
    shown = contourney("vault", "log", "--workspace", str(place.root)).stdout
    assert f"opening 1 for study {NAME}, trial {promotion['trial']}" in shown
    assert f"mIoU {promotion['test']['miou']:.4f}" in shown
    # A ledger that ends before what MLflow remembers was cut short.
    shutil.copytree(place.root, tmp_path / "cut", ignore=shutil.ignore_patterns("studies", "cache", "artifacts"))
    journal = tmp_path / "cut" / "optuna.journal"
    journal.write_text(
        "".join(
            line
            for line in journal.read_text().splitlines(keepends=True)
            if f"entry/{promotion['fingerprint']}" not in line
        )
    )
    refused = contourney("vault", "verify", "--workspace", str(tmp_path / "cut"))
    assert refused.returncode == 2
    assert "cut short" in refused.stderr
