"""A small study with a trial and rows that were really trained, without Ray."""

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from search.states import Reason
from search.storage import open_storage
from studies.confirmatory.confirm import KEPT_FACTS, Confirmatory
from studies.confirmatory.rows import SETTINGS, row_runs
from studies.files.study_file import parse_study
from studies.files.study_settings import CONFIRM, StudySettings
from studies.running.facts import gather_facts
from studies.stored import save_settings
from studies.workspace import Workspace
from trainables.settings import TrialSettings
from trainables.trial_run import TrialRun

NAME, LR = "few", 1e-2
# A row whose name must be quoted in a filter of MLflow's and in a shell.
WIDE = "w'ide"
FILE = f"""
name: {NAME}
trial:
  epochs: 2
  batch_size: 2
  optimizer: {{lr: {LR}}}
  data: {{format: terrain, terrain: {{images: 40, seed: 1}}}}
  model: {{width: 4, depth: 2}}
space: {{optimizer.lr: {{low: 1e-4, high: 1e-1, log: true}}}}
search: {{trials: 1}}
rows: {{plain: {{}}, "{WIDE}": {{set: {{model.width: 5}}}}}}
promotion: {{seeds: 0, rows: [plain], pictures: 2, worst: 3}}
"""


def train(settings: TrialSettings, study: str, number: int, workspace: Workspace) -> dict[int, float]:
    """Train a trial as a worker does; returns its values by epoch."""
    trained = TrialRun(settings, workspace.trial_folder(study, number), workspace.cache, threads=1)
    values = {}
    while True:
        row = trained.next_row()
        values[row["epoch"]] = row["value"]
        if row["end"] is not None:
            return values


def add_run(run: Confirmatory, number: int, settings: StudySettings, workspace: Workspace) -> float:
    """Train a run and add it to NAME/confirm as its trial `number`; returns its value."""
    attributes = run.attributes()
    own = TrialSettings.model_validate(attributes["settings"])
    values = train(own, settings.name + CONFIRM, number, workspace)
    facts = gather_facts(settings.model_copy(update={"trial": own}), workspace)
    best = max(values, key=values.__getitem__)
    more = {"facts": {key: facts[key] for key in KEPT_FACTS}, "best_epoch": best, "reason": Reason.FINISHED}
    confirm_of(settings, workspace).add_trial(
        create_trial(
            state=TrialState.COMPLETE,
            value=values[best],
            intermediate_values=values,
            user_attrs={**attributes, **more},
        )
    )
    return values[best]


def confirm_of(settings: StudySettings, workspace: Workspace) -> optuna.Study:
    """NAME/confirm, made if absent."""
    storage = open_storage(workspace.storage, write=True)
    return optuna.create_study(
        study_name=settings.name + CONFIRM, storage=storage, direction="maximize", load_if_exists=True
    )


def make(workspace: Workspace) -> None:
    """The study with its trial and its rows, each with the first seed."""
    settings = parse_study(FILE, "study.yaml", NAME)
    storage = open_storage(workspace.storage, write=True)
    study = optuna.create_study(study_name=NAME, storage=storage, direction="maximize")
    facts = gather_facts(settings, workspace)
    study.set_user_attr("metric", facts["metric"])
    study.set_user_attr("facts", facts | {"budget": {"trials": 1, "hours": None}})
    save_settings(study, settings)
    own = settings.trial.model_copy(update={"optimizer": settings.trial.optimizer.model_copy(update={"lr": LR})})
    values = train(own, NAME, 0, workspace)
    best, folder = max(values, key=values.__getitem__), workspace.trial_folder(NAME, 0).relative_to(workspace.root)
    study.add_trial(
        create_trial(
            state=TrialState.COMPLETE,
            value=values[best],
            params={"optimizer.lr": LR},
            distributions={"optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True)},
            intermediate_values=values,
            user_attrs={"reason": Reason.FINISHED, "best_epoch": best, "folder": str(folder)},
        )
    )
    confirm = confirm_of(settings, workspace)
    confirm.set_user_attr("facts", facts)
    confirm.set_user_attr(SETTINGS, settings.resolved())
    for number, run in enumerate(row_runs(settings, 1)):
        add_run(run, number, settings, workspace)
