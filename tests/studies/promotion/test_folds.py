"""Replicates over group folds: declared, trained, pooled image by image, never averaged over folds."""

from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from search.states import Reason
from search.storage import open_storage
from studies.files.problems import StudyFileError
from studies.files.study_file import parse_study
from studies.files.study_settings import StudySettings
from studies.promotion.choice import compare_finalists
from studies.promotion.refit import followed, refit_run
from studies.promotion.replicates import promotion_runs, read_replicated, replicate_runs
from studies.promotion.resampling import plan_resampling
from studies.promotion.shortlist import Finalist
from studies.running.facts import gather_facts
from studies.stored import StudyError
from studies.workspace import Workspace
from trainables.data.batches import batch_count
from trainables.data.dataset import prepare
from trainables.data.splits import Split
from trainables.evaluate import evaluate_checkpoint
from trainables.settings import TrialSettings
from trainables.trial_run import TrialRun

FOLDS, SEEDS = 2, 2
FILE = f"""
name: folded
trial:
  epochs: 2
  batch_size: 4
  data: {{format: terrain, terrain: {{images: 24, seed: 1}}}}
  model: {{width: 2, depth: 2}}
space: {{optimizer.lr: {{low: 1e-4, high: 1e-2, log: true}}}}
search: {{trials: 1}}
promotion: {{seeds: {SEEDS}, group_folds: {FOLDS}}}
"""


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("promotion.group_folds=1", ">= 2"),
        ("promotion.seeds=0", "folds are those of replicates"),
        ("trial.entry=tests.studies.scripted:Scripted", "takes its own data"),
        ("trial.data.clean.pseudo_labels.file=some.npz", "was trained on images of every fold"),
        ("trial.data.fold={of: 2, index: 0}", "is set by a promotion alone; write promotion.group_folds"),
        ("space.data.fold={choices: [1, 2]}", "data.fold cannot be searched|cannot be searched"),
    ],
)
def test_what_cannot_be_folded_is_refused_before_the_search(override: str, message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        parse_study(FILE, "study.yaml", "folded", [override])


@pytest.fixture(scope="module")
def settings() -> StudySettings:
    return parse_study(FILE, "study.yaml", "folded")


@pytest.fixture(scope="module")
def finalist() -> Finalist:
    rates = {"optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True)}
    trial = create_trial(value=0.5, params={"optimizer.lr": 3e-3}, distributions=rates)
    trial.number = 4
    return Finalist(trial, 0.5)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPTUNA_STORAGE", raising=False)
        return Workspace.open(tmp_path_factory.mktemp("folded"))


@pytest.fixture(scope="module")
def confirm(settings: StudySettings, finalist: Finalist, workspace: Workspace) -> optuna.Study:
    """NAME/confirm with every run of the finalist, trained as a worker does."""
    storage = open_storage(workspace.storage, write=True)
    study = optuna.create_study(study_name="folded/confirm", storage=storage, direction="maximize")
    for number, run in enumerate(promotion_runs([finalist], settings)):
        attributes = run.attributes()
        own = TrialSettings.model_validate(attributes["settings"])
        trained = TrialRun(own, workspace.trial_folder("folded/confirm", number), workspace.cache, threads=1)
        while trained.next_row()["end"] is None:
            pass
        values = {row["epoch"]: row["value"] for row in trained.rows}
        best = max(values, key=values.__getitem__)
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=values[best],
                intermediate_values=values,
                user_attrs={**attributes, "best_epoch": best, "reason": Reason.FINISHED},
            )
        )
    return study


def test_each_seed_has_a_run_of_each_fold(settings: StudySettings, finalist: Finalist) -> None:
    runs = replicate_runs(finalist, settings)
    assert [(run.key, run.seed) for run in runs] == [
        (f"trial 4, fold {fold} of 2", seed) for seed in (1, 2) for fold in (1, 2)
    ]
    assert [run.settings.data.fold.index for run in runs if run.settings.data.fold] == [0, 1, 0, 1]
    assert all(run.settings.optimizer.lr == 3e-3 for run in runs)


def test_matrices_of_all_folds_are_pooled_over_every_image_once(
    settings: StudySettings, finalist: Finalist, workspace: Workspace, confirm: optuna.Study
) -> None:
    found = read_replicated(finalist, settings, confirm, workspace)
    assert found is not None
    data = settings.trial.data
    both = [prepare(data, split, workspace.cache) for split in (Split.TRAIN, Split.VALIDATION)]
    assert len(found.groups) == sum(len(part.names) for part in both)
    assert sorted(found.groups) == sorted(both[0].groups + both[1].groups)
    assert [(one.seed, [run.run for run in one.runs]) for one in found.replicates] == [(1, [0, 1]), (2, [2, 3])]
    for one in found.replicates:
        # By hand: one confusion matrix over all images, each predicted by the run that has not seen it.
        total = np.zeros((5, 5), dtype=np.int64)
        for run in one.runs:
            own = TrialSettings.model_validate(confirm.trials[run.run].user_attrs["settings"])
            best = workspace.trial_folder("folded/confirm", run.run) / "best.pt"
            part = prepare(own.data, Split.VALIDATION, workspace.cache)
            total += evaluate_checkpoint(best, own, part).counts_KK
            assert run.best_epoch == confirm.trials[run.run].user_attrs["best_epoch"]
        assert total.sum() == sum(int(part.pixels_K.sum()) for part in both)
        hits_K = np.diag(total)
        iou_K = hits_K / (total.sum(0) + total.sum(1) - hits_K)
        assert one.counts.miou == pytest.approx(float(iou_K[total.sum(1) > 0].mean()), abs=1e-12)
        averaged = np.mean([confirm.trials[run.run].value for run in one.runs])
        assert one.counts.miou != pytest.approx(averaged, abs=1e-6)
    plan = plan_resampling(found.groups, found.replicates[0].counts.influence_N)
    assert plan is not None
    choice = compare_finalists([[one.counts for one in found.replicates]], plan, [1.0], 0.005)
    assert choice.means_F[0] == pytest.approx(np.mean([one.counts.miou for one in found.replicates]))


def test_a_refit_follows_a_fold_by_the_steps_that_it_had(
    settings: StudySettings, finalist: Finalist, workspace: Workspace, confirm: optuna.Study
) -> None:
    found = read_replicated(finalist, settings, confirm, workspace)
    assert found is not None
    refit = refit_run(found, settings, confirm, workspace).settings
    _, like = followed(found.replicates)
    own = TrialSettings.model_validate(confirm.trials[like.run].user_attrs["settings"])
    images = len(prepare(own.data, Split.TRAIN, workspace.cache).names)
    assert refit.data.fold is None
    assert refit.refit is not None
    assert refit.refit.steps_per_epoch == batch_count(images, 4)
    assert len(refit.refit.lr_trace) == like.best_epoch


def test_one_fold_that_diverged_leaves_the_finalist_out(
    settings: StudySettings, finalist: Finalist, workspace: Workspace
) -> None:
    study = optuna.create_study(direction="maximize")
    for index, run in enumerate(promotion_runs([finalist], settings)):
        assert read_replicated(finalist, settings, study, workspace) is None
        state = TrialState.PRUNED if index == 3 else TrialState.COMPLETE
        attributes = {**run.attributes(), "reason": Reason.DIVERGED if index == 3 else Reason.FINISHED}
        value = None if index == 3 else 0.5
        study.add_trial(create_trial(state=state, value=value, user_attrs=attributes))
    found = read_replicated(finalist, settings, study, workspace)
    assert found is not None
    assert found.why_out == "diverged with seed 2, fold 2 of 2"


def test_more_folds_than_groups_are_refused_with_the_data(settings: StudySettings, workspace: Workspace) -> None:
    many = settings.model_copy(update={"promotion": settings.promotion.model_copy(update={"group_folds": 30})})
    with pytest.raises(StudyError, match=r"promotion\.group_folds: 30 folds of whole groups need 30 groups; .*fewer"):
        gather_facts(many, workspace)
    assert Path(workspace.cache).is_dir()
