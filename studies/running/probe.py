"""`launch --probe`: what the dearest corner of a study takes, before anything is recorded."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from search.space_settings import Choice
from studies.cli.live import show_seconds
from studies.files.space_checks import study_space
from studies.files.study_settings import StudySettings
from studies.files.whole_paths import absolute
from studies.running.corner import dearest_corner
from studies.running.resources import Slots, plan
from studies.stored import StudyError
from studies.workspace import Workspace, without_driver_variables
from trainables.check import check_settings
from trainables.probe import RESULT, Probed
from trainables.settings import TrialSettings

GIB = 2**30


class ProbeFailed(RuntimeError):
    """The dearest corner cannot be trained as it is."""


@dataclass(frozen=True)
class Probe:
    """The dearest corner, what it took, and how trials would run on this machine."""

    corner: Mapping[str, Choice]
    took: Probed
    slots: Slots
    epochs: int
    trials: int | None
    hours: float | None


def probe(settings: StudySettings, workspace: Workspace) -> Probe:
    """Train a few steps of the dearest corner in a process of its own; raises ValueError and ProbeFailed.

    Of the workspace it uses the cache of prepared data alone.
    """
    settings = absolute(settings)
    space = study_space(settings)
    corner = dearest_corner(space, settings.trial)
    fixed = settings.trial.model_dump(mode="json")
    trial = TrialSettings.model_validate(space.apply(fixed, corner))
    check_settings(trial)
    slots = plan(settings.resources, [{"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}])
    # Of several processes with a device each, what one of them bears.
    trial = trial.model_copy(update={"batch_size": -(-trial.batch_size // slots.ranks)})
    answer = _in_a_process(
        {
            "settings": trial.model_dump(mode="json"),
            "cache": str(workspace.cache),
            "threads": slots.threads,
            "memory_fraction": slots.memory_fraction,
        },
        settings.hooks.secrets,
    )
    if "refused" in answer:
        raise StudyError(answer["refused"])
    if "out_of_memory" in answer:
        raise ProbeFailed(_too_large(corner, trial, slots, answer["out_of_memory"]))
    search = settings.search
    return Probe(corner, Probed(**answer), slots, trial.epochs, search.trials, search.hours)


def probe_lines(found: Probe) -> Sequence[str]:
    """The result in words, with what it assumes."""
    took, devices = found.took, found.slots.workers * found.slots.ranks
    shown = ", ".join(f"{path}={value}" for path, value in found.corner.items()) or "nothing is searched"
    memory = f"{took.memory_bytes / GIB:.2f} of {took.total_bytes / GIB:.1f} GiB"
    share = found.slots.memory_fraction
    per_device = f", of which a trial may take {share:.0%}" if share else ""
    step = "" if took.step_s is None else f"{took.step_s:.3f} s a step, "
    steps = "" if took.steps is None else f" ({took.steps} steps and validation)"
    lines = [
        f"dearest corner: {shown}",
        f"memory at the peak on {took.device}: {memory}{per_device}",
        f"time: {step}{took.epoch_s:.1f} s an epoch{steps}, {show_seconds(took.epoch_s * found.epochs)} for "
        f"{found.epochs} epochs",
    ]
    if found.trials is not None:
        total_s = found.trials * found.epochs * took.epoch_s
        wall = show_seconds(total_s / devices)
        together = "" if found.slots.ranks == 1 else f" on {found.slots.ranks} devices each"
        lines.append(
            f"budget of {found.trials} trials: at most {total_s / 3600:.2f} device-hours, {wall} with "
            f"{found.slots.workers} at once{together} here"
        )
        if together:
            lines.append(f"tried: one of them with its share of the batch; {found.slots.ranks} divide an epoch's time")
        lines.append("assumed: every trial as dear as this one, none pruned or stopped early, alone on its device")
    if found.hours is not None:
        lines.append(f"budget of {found.hours:g} hours: at most {found.hours * devices:.2f} device-hours")
    return lines


def _in_a_process(job: Mapping[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    with without_driver_variables(secrets):
        done = subprocess.run(
            [sys.executable, "-m", "trainables.probe"],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(RESULT):
            return dict(json.loads(line.removeprefix(RESULT)))
    if done.returncode < 0:
        # The kernel ends a process that takes the machine's memory, without a word.
        return {"out_of_memory": f"the process was killed by signal {-done.returncode}"}
    raise ProbeFailed(f"the probe failed:\n{done.stderr.strip()}")


def _too_large(corner: Mapping[str, Choice], trial: TrialSettings, slots: Slots, told: str) -> str:
    searched = [path for path in ("batch_size", "model.width", "model.depth", "model.encoder") if path in corner]
    lower = ", ".join(f"space.{path} (here {corner[path]})" for path in searched) or "trial.batch_size"
    shared = "" if slots.memory_fraction is None else f" in {slots.memory_fraction:.0%} of a device's memory"
    size = "the images' own size" if trial.data.size is None else f"{trial.data.size[0]}x{trial.data.size[1]}"
    return (
        f"the dearest corner of the space does not fit{shared}: {told}\n"
        f"lower {lower}, or trial.data.size ({size}), or give each trial more (resources.gpu, resources.workers). A "
        "launch would cut the batches of such trials, where their BatchNorm and losses allow, and end those that do "
        "not fit even so"
    )
