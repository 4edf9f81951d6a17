"""What a web hook is told of a run: its end, failed trials, and each new best trial."""

import datetime
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import TrialState

from search.states import END_STATES, Reason
from studies.files.hook_settings import Event, HookSettings
from studies.files.study_settings import StudySettings
from studies.results import best_trial, value_of
from studies.running.posting import Poster
from studies.running.watcher import Watcher
from studies.stored import counts

ENDS = {
    "budget": "has ended: its budget is spent",
    "interrupted": "was interrupted: its open trials wait",
    "deadline": "ended at its deadline: its hours are over",
    "hopeless": "was given up: no trial gave a result",
    "error": "ended with an error: its open trials wait",
}
LONGEST_ERROR = 300


class Announcer:
    """A run's watcher that passes everything on to another and tells the hook, if there is one."""

    def __init__(self, study: optuna.Study, on: tuple[Event, ...], watcher: Watcher, poster: Poster | None) -> None:
        self._study = study
        self._on = on
        self._watcher = watcher
        self._poster = poster
        self._best: float | None = None

    def begin(self, total: int | None, ended: Mapping[str, int], best: tuple[float, int, int] | None) -> None:
        """The run begins."""
        self._best = None if best is None else best[0]
        self._watcher.begin(total, ended, best)

    def say(self, text: str) -> None:
        """Show a line of text."""
        self._watcher.say(text)

    def on_epoch(self, number: int, epoch: int, value: float | None) -> None:
        """An epoch arrived."""
        self._watcher.on_epoch(number, epoch, value)

    def on_trial(self, number: int, reason: Reason | None, values: Mapping[str, Any]) -> None:
        """A trial started (no reason) or ended."""
        self._watcher.on_trial(number, reason, values)
        if self._poster is None or reason is None:
            return
        trial = self._study.get_trials(deepcopy=False)[number]
        if END_STATES[reason] is TrialState.FAIL:
            error = _last_line(trial.user_attrs.get("error"))
            self._tell("failed", f"trial {number} failed: {error}", trial=number, reason=str(reason), error=error)
        elif trial.state is TrialState.COMPLETE and (self._best is None or value_of(trial) > self._best):
            self._best = value_of(trial)
            self._tell("new_best", f"new best {self._describe(trial)}", reason=str(reason), **_found(trial))

    def ended(self, reason: str, error: str | None = None) -> None:
        """The run ended: by its `budget`, `interrupted`, at its `deadline`, `hopeless`, or with an `error`."""
        if self._poster is None:
            return
        best, last = best_trial(self._study), _last_line(error)
        words = ENDS[reason] + (f": {last}" if last else "")
        if reason in ("hopeless", "error"):
            self._tell("failed", words, reason=reason, error=last)
        states = ", ".join(f"{count} {state.lower()}" for state, count in counts(self._study).items() if count)
        shown = f"; {states}" + ("" if best is None else f"; best {self._describe(best)}")
        self._tell("finished", words + shown, reason=reason, error=last, **({} if best is None else _found(best)))

    def _describe(self, trial: optuna.trial.FrozenTrial) -> str:
        metric = self._study.user_attrs["metric"]
        return f"{metric} {value_of(trial):.4f}, trial {trial.number}, epoch {trial.user_attrs.get('best_epoch')}"

    def _tell(self, event: Event, words: str, **facts: Any) -> None:
        if self._poster is None or event not in self._on:
            return
        name, host = self._study.study_name, socket.gethostname()
        text = f"study {name!r} on {host}: {words}"
        for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            # Slack would take `<!channel>` in a study's name for a call.
            text = text.replace(character, entity)
        known = {"trial": None, "epoch": None, "value": None, "settings": None, "error": None, **facts}
        self._poster.post(
            {
                "id": str(uuid.uuid4()),
                "event": event,
                "study": name,
                "metric": self._study.user_attrs["metric"],
                **known,
                "counts": dict(counts(self._study)),
                "host": host,
                "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "text": text,
            }
        )


@contextmanager
def announcing(study: optuna.Study, settings: StudySettings, watcher: Watcher) -> Iterator[Announcer]:
    """The watcher of a run with its web hook, which is told of an error that ends the run; else call `ended`."""
    poster = _poster(settings.hooks, watcher)
    announcer = Announcer(study, settings.hooks.on, watcher, poster)
    try:
        yield announcer
    except BaseException as error:
        announcer.ended("error", f"{type(error).__name__}: {error}")
        raise
    finally:
        if poster is not None:
            poster.close()


def _poster(hooks: HookSettings, watcher: Watcher) -> Poster | None:
    if hooks.url_env is None or not hooks.on:
        return None
    url = os.environ.get(hooks.url_env, "")
    if not url.startswith(("http://", "https://")):
        is_there = "holds no http:// or https:// address" if url else "is not set"
        watcher.say(f"hooks.url_env: the environment variable {hooks.url_env} {is_there}; nobody is told of this run")
        return None
    return Poster(url, hooks.url_env, watcher.say)


def _found(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "epoch": trial.user_attrs.get("best_epoch"),
        "value": value_of(trial),
        "settings": trial.params,
    }


def _last_line(error: str | None) -> str | None:
    lines = (error or "").strip().splitlines()
    return lines[-1][:LONGEST_ERROR] if lines else None
