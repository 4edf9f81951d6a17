"""What other processes ask of whoever holds a study: extend its budget, stop, run given settings.

A request is an attribute of the study, `request/<id>`. The lease's holder applies each once, in the order asked, and
writes into it what came of it.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import optuna

REQUEST = "request/"


@dataclass(frozen=True)
class Extend:
    """Raise the budget to these totals, where given."""

    trials: int | None = None
    hours: float | None = None


@dataclass(frozen=True)
class Stop:
    """End this trial as it is; without a number, end the driver in order."""

    trial: int | None = None


@dataclass(frozen=True)
class Enqueue:
    """Run a trial with these values, by dotted path; the rest is sampled."""

    values: Mapping[str, Any]


Request = Extend | Stop | Enqueue
KINDS: dict[str, type[Request]] = {"extend": Extend, "stop": Stop, "enqueue": Enqueue}


def post(study: optuna.Study, request: Request, key: str | None = None) -> str:
    """Write a request, under an earlier `key` where it was lost; returns its key. Any process may ask."""
    kind = next(name for name, one in KINDS.items() if isinstance(request, one))
    key = key or f"{REQUEST}{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
    study.set_user_attr(key, {kind: asdict(request), "asked_s": time.time()})
    return key


def answer_to(study: optuna.Study, key: str) -> str | None:
    """What came of a request; None while it is not applied. Raises KeyError where the study does not have it."""
    applied = study.user_attrs[key].get("applied")
    return str(applied["outcome"]) if applied else None


def apply_requests(study: optuna.Study, apply: Callable[[str, Request], str | None]) -> None:
    """Give the requests not yet applied to `apply`, in the order asked; only the lease's holder may.

    `apply` gets a request and its key, and returns what came of it, or None to be asked again the next time. A crash
    between its doing and this marking gives it the same request once more: it must do nothing twice.
    """
    for key, asked in sorted(study.user_attrs.items()):
        if not key.startswith(REQUEST) or (isinstance(asked, Mapping) and asked.get("applied")):
            continue
        request = read(asked)
        outcome = "refused: no request that is known here" if request is None else apply(key, request)
        if outcome is not None:
            content = dict(asked) if isinstance(asked, Mapping) else {"asked": asked}
            study.set_user_attr(key, {**content, "applied": {"at_s": time.time(), "outcome": outcome}})


def read(asked: Any) -> Request | None:
    """The request that an attribute holds; None where it holds none: others write there."""
    if not isinstance(asked, Mapping):
        return None
    for kind, one in KINDS.items():
        content = asked.get(kind)
        if isinstance(content, Mapping):
            return _read(one, content)
    return None


def _read(kind: type[Request], content: Mapping[str, Any]) -> Request | None:
    def is_number(value: Any, types: type | tuple[type, ...]) -> bool:
        return value is None or (isinstance(value, types) and not isinstance(value, bool))

    if kind is Extend:
        trials, hours = content.get("trials"), content.get("hours")
        return Extend(trials, hours) if is_number(trials, int) and is_number(hours, (int, float)) else None
    if kind is Stop:
        trial = content.get("trial")
        return Stop(trial) if is_number(trial, int) else None
    values = content.get("values")
    return Enqueue(values) if isinstance(values, Mapping) else None
