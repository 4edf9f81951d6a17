"""A pruned finalist trained to the end, chosen and promoted; runs are trained here, so that no Ray is needed."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.models import Model
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from search.states import Reason
from search.storage import open_storage
from studies.files.study_file import parse_study
from studies.files.study_settings import StudySettings
from studies.promotion.deciding import find_finalists
from studies.promotion.promote import promote_winner
from studies.promotion.promoted import weights_of
from studies.promotion.replicates import digest_of, promotion_runs, read_replicated
from studies.promotion.table import choice_table, promotion_lines, promotion_table
from studies.promotion.vault import TestVault, VaultError
from studies.running.facts import gather_facts
from studies.stored import StudyError, open_study, save_settings
from studies.workspace import Workspace
from tests.studies.promotion.trained import add_run, confirm_of
from tests.studies.rayless import Lines

FILE = """
name: short
trial:
  epochs: 2
  data: {format: terrain, terrain: {images: 40, seed: 1}}
  model: {width: 2, depth: 2}
space: {optimizer.lr: {low: 1e-4, high: 1e-2, log: true}}
search: {trials: 1}
promotion: {seeds: 2}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return Workspace.open(tmp_path)


@pytest.fixture
def settings(workspace: Workspace) -> StudySettings:
    """A study whose only trial was pruned after its first epoch."""
    settings = parse_study(FILE, "study.yaml", "short")
    study = optuna.create_study(
        study_name="short", storage=open_storage(workspace.storage, write=True), direction="maximize"
    )
    study.set_user_attr("facts", gather_facts(settings, workspace))
    save_settings(study, settings)
    study.add_trial(
        create_trial(
            state=TrialState.PRUNED,
            params={"optimizer.lr": 3e-3},
            distributions={"optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True)},
            intermediate_values={1: 0.1},
            user_attrs={"reason": Reason.PRUNED},
        )
    )
    return settings


# MLflow warns of type hints of its own; the command line shows no warnings.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.slow
def test_a_pruned_finalist_is_trained_to_the_end_and_promoted(settings: StudySettings, workspace: Workspace) -> None:
    finalists = find_finalists(settings, open_study("short", workspace), workspace)
    runs = promotion_runs(finalists, settings)
    values = [add_run(run, number, settings, workspace) for number, run in enumerate(runs)]
    outcome, records = promote_winner("short", workspace, None, Lines())
    assert records is not None
    (record,) = records
    assert not outcome.interrupted
    (finalist,) = record["choice"]["finalists"]
    assert (finalist["trial"], finalist["pruned"], finalist["runs"], finalist["seeds"]) == (0, True, [1, 2], [1, 2])
    assert finalist["value"] == values[0]
    assert finalist["miou"] == pytest.approx(values[1:], abs=5e-7)
    assert record["choice"]["optimism"] == pytest.approx(values[0] - sum(values[1:]) / 2, abs=5e-7)
    # The weights are those of the run that trained it to the end.
    assert (record["study"], record["trial"], record["run"], record["chosen_by"]) == (
        "short", 0, 0, "mean over replicates",
    )  # fmt: skip
    assert record["validation"]["miou"] == pytest.approx(values[0], abs=5e-7)
    assert open_study("short", workspace).user_attrs["promotion"] == record
    (opening, _) = TestVault(workspace.storage, record["fingerprint"]).entries()
    assert [subject["study"] for subject in opening["subjects"]] == ["short/confirm"]
    assert [choice_table(record["choice"]).row_count, promotion_table(record).row_count] == [1, 7]
    assert "2 seeds are a screen" in "\n".join(promotion_lines(record))
    check_registration(record, workspace)
    with pytest.raises(VaultError, match=r"opening 1: .* study 'short/confirm', trial 0"):
        promote_winner("short", workspace, None, Lines())
    _, more = promote_winner("short", workspace, None, Lines(), again="a test of it")
    assert more is not None
    (second,) = more
    client = MlflowClient(workspace.tracking)
    assert client.get_model_version_by_alias("short", "champion").run_id == second["mlflow_run_id"]
    # The earlier champion keeps its version.
    assert client.get_model_version("short", "1").run_id == record["mlflow_run_id"] != second["mlflow_run_id"]
    assert (record["model_version"], second["model_version"]) == (1, 2)
    for model in ("short", "models:/short@champion", "models:/short/1"):
        with weights_of(model, workspace) as best:
            assert digest_of(best) == record["weights"]
    with (
        pytest.raises(StudyError, match=r"models:/short@other cannot be fetched: .*expected a model that"),
        weights_of("models:/short@other", workspace),
    ):
        pass


def check_registration(record: dict[str, Any], workspace: Workspace) -> None:
    """The registered model has an example, class names and signature, and its card stands by the weights too."""
    client = MlflowClient(workspace.tracking)
    version = client.get_model_version_by_alias("short", "champion")
    assert (version.run_id, int(version.version)) == (record["mlflow_run_id"], record["model_version"])
    assert "model_card.md" in [entry.path for entry in client.list_artifacts(version.run_id)]
    folder = workspace.trial_folder("short/confirm", 0)
    card = (folder / "model_card.md").read_text()
    assert f"test mIoU {record['test']['miou']:.4f}" in card
    assert "Spent: 1 trial (1 pruned)" in card
    assert "Replicates of the finalists: 2 runs" in card
    saved = str(workspace.root / "artifacts" / version.run_id / "artifacts" / "model")
    model = Model.load(saved)
    assert model.metadata == {"class_names": list(record["test"]["iou"]), "weights": record["weights"]}
    assert model.signature is not None
    example = model.load_input_example(saved)
    with np.load(folder / "pictures.npz") as pictures:
        assert example.shape == (1, 32, 64, pictures["image_0"].shape[2])
    assert (example.dtype, example.max() > 0) == (np.uint8, True)


def test_a_finalist_with_a_replicate_that_diverged_cannot_be_chosen(
    settings: StudySettings, workspace: Workspace
) -> None:
    (finalist,) = find_finalists(settings, open_study("short", workspace), workspace)
    study = confirm_of(settings, workspace)
    for index, run in enumerate(promotion_runs([finalist], settings)):
        assert read_replicated(finalist, settings, study, workspace) is None
        diverged = index == 2
        study.add_trial(
            create_trial(
                state=TrialState.PRUNED if diverged else TrialState.COMPLETE,
                value=None if diverged else 0.5,
                user_attrs={**run.attributes(), "reason": Reason.DIVERGED if diverged else Reason.FINISHED},
            )
        )
    found = read_replicated(finalist, settings, study, workspace)
    assert found is not None
    assert (found.why_out, found.replicates) == ("diverged with seed 2", ())


def test_a_study_without_a_trial_that_could_be_promoted_says_so(workspace: Workspace) -> None:
    study = optuna.create_study(study_name="empty", storage=open_storage(workspace.storage, write=True))
    save_settings(study, parse_study(FILE, "study.yaml", "empty"))
    with pytest.raises(StudyError, match="has no trial that could be promoted yet; `contourney resume`"):
        promote_winner("empty", workspace, None, Lines())
