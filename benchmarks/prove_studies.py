"""The studies that proofs are about: run once in a workspace, one of them interrupted on the way, read afterwards."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.check_study import snapshot
from benchmarks.command import Done, contourney, interrupted
from benchmarks.expect import ProofError, expect_that
from benchmarks.records import Records, read_records, read_trials

UNET, MOBILENET = "camvid-unet", "camvid-mobilenetv2"
RANDOM = f"{MOBILENET}-random"


@dataclass(frozen=True)
class Proof:
    """Where and at which size things are proved; `overrides` are PATH=VALUE put over both recipes."""

    workspace: Path
    data: Path
    weights: Path
    unet_trials: int
    unet_epochs: int
    mobilenet_trials: int
    mobilenet_epochs: int
    overrides: tuple[str, ...]

    @property
    def facts(self) -> Path:
        """What only the running of a study tells, kept for a later run of a section."""
        return self.workspace / "proved"

    def recall(self, name: str) -> dict[str, Any] | None:
        """Kept facts, None where there are none."""
        path = self.facts / f"{name}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def keep(self, name: str, facts: dict[str, Any]) -> dict[str, Any]:
        """Keep facts."""
        self.facts.mkdir(parents=True, exist_ok=True)
        (self.facts / f"{name}.json").write_text(json.dumps(facts, indent=1))
        return facts

    def launch_arguments(self, recipe: str, trials: int, epochs: int, *more: str) -> tuple[str, ...]:
        """The arguments of a recipe's launch."""
        settings = (f"trial.epochs={epochs}", "resources.workers=2", *more, *self.overrides)
        sets = [word for setting in settings for word in ("--set", setting)]
        place = ("--data", str(self.data), "--workspace", str(self.workspace))
        return "launch", recipe, *place, "--trials", str(trials), *sets, "--quiet"


def unet_study(proof: Proof) -> tuple[Records, dict[str, Any]]:
    """The records of `camvid-unet`, interrupted once in the middle and resumed; and what is kept of that."""
    if proof.recall("unet") is None:
        if read_trials(proof.workspace, UNET):
            raise ProofError(
                f"{proof.workspace} holds a half-proved study {UNET}; expected none, choose another --workspace"
            )
        _run_interrupted(proof)
    if proof.recall("unet-resumed") is None:
        done = contourney("resume", UNET, "--workspace", str(proof.workspace), "--quiet").must_exit(0)
        proof.keep("unet-resumed", _told(done))
    kept = {**(proof.recall("unet") or {}), "resumed": proof.recall("unet-resumed")}
    return read_records(proof.workspace, UNET), kept


def mobilenet_study(proof: Proof) -> tuple[Records, dict[str, Any]]:
    """The records of `camvid-mobilenetv2`, and how long it took."""
    kept = proof.recall("mobilenetv2")
    if kept is None:
        done = contourney(*mobilenet_arguments(proof)).must_exit(0)
        kept = proof.keep("mobilenetv2", _told(done))
    return read_records(proof.workspace, MOBILENET), kept


def mobilenet_arguments(proof: Proof) -> tuple[str, ...]:
    """The arguments of its launch."""
    weights = f"trial.model.weights={proof.weights}"
    return proof.launch_arguments(MOBILENET, proof.mobilenet_trials, proof.mobilenet_epochs, weights)


def random_study(proof: Proof) -> tuple[Records, dict[str, Any]]:
    """The records of `camvid-mobilenetv2` from random weights, all of it trained, with the same budget."""
    kept = proof.recall(RANDOM)
    if kept is None:
        settings = ("trial.model.weights=null", "trial.model.unfreeze=all", "space.model.unfreeze=null")
        arguments = proof.launch_arguments(MOBILENET, proof.mobilenet_trials, proof.mobilenet_epochs, *settings)
        kept = proof.keep(RANDOM, _told(contourney(*arguments, "--name", RANDOM).must_exit(0)))
    return read_records(proof.workspace, RANDOM), kept


def _run_interrupted(proof: Proof) -> None:
    def in_the_middle() -> bool:
        trials = read_trials(proof.workspace, UNET)
        ended = sum(trial.state.is_finished() for trial in trials)
        under_way = any(not trial.state.is_finished() and trial.intermediate_values for trial in trials)
        return ended >= proof.unet_trials // 2 and under_way

    arguments = proof.launch_arguments(UNET, proof.unet_trials, proof.unet_epochs)
    done = interrupted(*arguments, when=in_the_middle).must_exit(130)
    expect_that(f"contourney resume {UNET}" in done.output, "the words to resume", done.output)
    proof.keep("unet", {**_told(done), "left": snapshot(read_trials(proof.workspace, UNET))})


def _told(done: Done) -> dict[str, Any]:
    return {"command": done.typed, "wall_s": done.wall_s}
