"""The model card of a promoted model: what it was made of, how it was chosen, what it does, where that ends."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import timm

from dashboards.live.promoted import choice_facts, evaluation_table, finalist_table, pair_table
from dashboards.outcomes import count_outcomes
from dashboards.summary import COUNTED, data_table, leak_words
from dashboards.text import HOUR_S, counted, shown, shown_score
from search.records.study import StudyRecord, TrialRecord
from studies.promotion.settings import SEEDS_OF_A_CLAIM
from studies.promotion.vault import called
from trainables.models.settings import ModelSettings
from trainables.models.table import DOWNLOAD
from trainables.settings import TrialSettings

FILE = "model_card.md"


def model_card(study: StudyRecord, trial: TrialSettings, registered: str) -> str:
    """The card as Markdown, from what is recorded alone.

    `study` has the record of the promotion among its facts, `trial` are the settings of the promoted weights and
    `registered` is the model's name in the registry.
    """
    record = study.facts["promotion"]
    parts = [
        f"# {_text(registered)}",
        f"A model for semantic segmentation, promoted from study {_text(record['study'])}. {_evaluated(study)}",
        "## Data",
        _table(data_table(study)),
        _table(_classes(study)),
        _leak(study),
        *(_search(study) if "row" not in record else _row(study)),
        "## How it was chosen",
        _table(choice_facts(study)),
        _table(finalist_table(study)),
        _table(pair_table(study)),
        "## What it does",
        _table(_evaluation(study)),
        _worst(record["test"]),
        "## Limits",
        "\n".join(f"- {_text(line)}" for line in _limits(study)),
        "## Use",
        "\n".join(f"- {line}" for line in _use(record, trial)),
        _served(record, registered),
        "## Software",
        _text(", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items()) or "not recorded"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _evaluated(study: StudyRecord) -> str:
    record = study.facts["promotion"]
    test = record["test"]
    what, others = _text(called(record)), [_text(other) for other in record.get("opened_with", ())]
    value = f"{shown_score(test['miou'])}{_interval(test.get('interval'))} over {test['images']} images"
    opening = f"opening {record['opening']} of this test split" + (f" together with {_and(others)}" if others else "")
    return (
        f"{what[0].upper()}{what[1:]}, epoch {record['epoch']}: test {_text(record['metric'])} {value}, in {opening}; "
        f"chosen by: {_text(record['chosen_by'])}."
    )


def _classes(study: StudyRecord) -> Iterator[dict[str, str]]:
    """How often each class is there: what was recorded at the launch, and in how many test images."""
    test, pixels = study.facts["promotion"]["test"], study.facts.get("class_pixels", {})
    for index, name in enumerate(study.facts.get("class_names", ()) if pixels else ()):
        shares = {f"of {split} pixels": f"{of[index] / sum(of):.2%}" for split, of in pixels.items()}
        yield {"class": name, **shares, "test images with it": shown(test.get("images_with", {}).get(name, "–"))}


def _leak(study: StudyRecord) -> str:
    if "row" in study.facts["promotion"]:
        return ""  # leaks are looked for where a search is launched
    return leak_words(study) or "No training image was found to be a near copy of a validation image."


def _search(study: StudyRecord) -> Iterator[str]:
    params = study.trials[study.facts["promotion"]["trial"]].params
    yield "## Search"
    yield _table(
        {"parameter": path, "searched": _declared(declared), "promoted": shown(params[path]) if path in params else "–"}
        for path, declared in study.settings.get("space", {}).items()
    )
    yield _spent(study)


def _row(study: StudyRecord) -> Iterator[str]:
    record = study.facts["promotion"]
    row = record["row"]
    yield "## Settings"
    yield f"Row {_text(row)} of the study file: nothing was searched for it."
    declared = study.settings.get("rows", {}).get(row, {}).get("set", {})
    yield _table({"setting": path, "value": shown(value)} for path, value in declared.items())
    yield f"Its training took {_hours([study.trials[record['trial']]])}."


def _spent(study: StudyRecord) -> str:
    """Budget and what was spent of it; device time is summed over the epochs that are recorded here."""
    budget, trials = study.facts["budget"], study.trials
    allowed = [counted(budget["trials"], "trial")] if budget["trials"] else []
    allowed += [f"{budget['hours']:g} h"] if budget["hours"] else []
    ended = sum(trial.state in COUNTED for trial in trials)
    lines = [
        f"Budget: {' or '.join(allowed) or 'none recorded'}. Spent: {counted(ended, 'trial')} "
        f"({count_outcomes(trials)}), {_hours(trials)}."
    ]
    if choice := study.facts["promotion"].get("choice"):
        compared = [one for one in choice["finalists"] if "device_s" in one]
        repeated_s = sum(one["device_s"] * len(one["runs"]) for one in compared)
        runs = sum(len(one["runs"]) for one in compared)
        lines.append(f"Replicates of the finalists: {counted(runs, 'run')}, {repeated_s / HOUR_S:.2f} device-hours.")
    return "\n".join(lines)


def _hours(trials: Iterable[TrialRecord]) -> str:
    spent_s = sum(row.device_s for trial in trials for row in trial.rows)
    return f"{spent_s / HOUR_S:.2f} device-hours (epochs with their validation, times the devices of a trial)"


def _evaluation(study: StudyRecord) -> list[dict[str, Any]]:
    return [
        {key: shown_score(value) if key in ("validation", "test") else value for key, value in row.items()}
        for row in evaluation_table(study)
    ]


def _worst(test: Mapping[str, Any]) -> str:
    worst = test.get("worst", ())
    if not worst:
        return ""
    shown_ones = ", ".join(f"{_text(one['image'])} ({shown_score(one['miou'])})" for one in worst)
    return f"Lowest mIoU of a single test image, over the classes that it has: {shown_ones}."


def _limits(study: StudyRecord) -> list[str]:
    record = study.facts["promotion"]
    test, choice = record["test"], record.get("choice")
    lines = ["One data set: other cameras, places and seasons were not tried."]
    if (test.get("resampling") or {}).get("conditional"):
        lines.append(
            "The intervals are conditional on these sequences or groups: under ten of them say little about others."
        )
    if unreliable := test.get("unreliable"):
        lines.append(f"In too few test images for an interval to be relied on: {', '.join(unreliable)}.")
    if absent := [name for name, iou in test["iou"].items() if iou is None]:
        lines.append(f"Without a pixel in the test split, so nothing is known of them: {', '.join(absent)}.")
    if record["opening"] > 1:
        lines.append(
            f"The test split had been opened before (opening {record['opening']}: {record['again']}): figures of a "
            "split that is looked at again are optimistic."
        )
    if others := record.get("opened_with"):
        lines.append(
            f"Evaluated together with {_and(others)}: the highest of several test figures would be optimistic."
        )
    if "refit" in record:
        lines.append(
            "Trained on the validation images too: the figures on validation are those of the run that it repeats."
        )
    if choice is None:
        lines.append("Chosen without replicates: what other seeds would give is not known.")
    elif choice["seeds"] < SEEDS_OF_A_CLAIM:
        lines.append(
            f"{choice['seeds']} seeds are a screen; a claim that the finalists differ needs {SEEDS_OF_A_CLAIM}."
        )
    lines.append("The probabilities of its classes were not calibrated.")
    return lines


def _use(record: Mapping[str, Any], trial: TrialSettings) -> list[str]:
    size = "any size" if trial.data.size is None else "any size, resized inside to {}×{}".format(*trial.data.size)
    labels = ", ".join(f"{index} {_text(name)}" for index, name in enumerate(record["test"]["iou"]))
    channels = record.get("channels")
    known = {1: "1 (grey)", 3: "3 (red, green, blue)"}.get(channels, "C")
    return [
        f"images uint8 [N, H, W, {known}] of {size} to label masks uint8 [N, H, W]; normalisation is inside",
        f"labels: {labels}",
        f"weights (SHA-256): `{record['weights']}`",
        f"test images and masks (SHA-256): `{record['fingerprint']}`",
        _text(_origin(trial.model)),
    ]


def _served(record: Mapping[str, Any], registered: str) -> str:
    """Commands that a stranger can copy: a name is quoted as a shell takes it."""
    model = shlex.quote(f"models:/{registered}@champion")
    array = "convert('L'))[None, ..., None]" if record.get("channels") == 1 else "convert('RGB'))[None]"
    return f"""Masks of files, then a service and a request to it, with `MLFLOW_TRACKING_URI` naming the registry:

```sh
contourney predict {model} picture.png --output masks
mlflow models serve -m {model} --env-manager local --port 5001
python -c "import json, numpy, PIL.Image
image = numpy.asarray(PIL.Image.open('picture.png').{array}
print(json.dumps({{'inputs': image.tolist()}}))" > picture.json
curl http://127.0.0.1:5001/invocations -H 'Content-Type: application/json' -d @picture.json
```

The answer is `{{"predictions": [[[label, …], …]]}}`, a list of masks of the pictures' sizes. The service needs the \
packages below in its environment and reads no pickle."""


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)


def _origin(model: ModelSettings) -> str:
    """Where the initial weights come from and under which licence, as far as that is known."""
    if model.weights is None:
        return "initial weights: random"
    if model.weights == DOWNLOAD:
        known = timm.get_pretrained_cfg(model.encoder)
        return f"initial weights: timm's {known.architecture}.{known.tag}, licence {known.license or 'not stated'}"
    return f"initial weights: the file {model.weights}, whose licence is not recorded"


def _declared(declared: Mapping[str, Any]) -> str:
    values = ", ".join(map(shown, declared["choices"])) if "choices" in declared else ""
    if "low" in declared:
        values = f"{shown(declared['low'])} to {shown(declared['high'])}"
        values += ", log" if declared.get("log") else ""
    when = "; ".join(f"{path} is {shown(value)}" for path, value in (declared.get("when") or {}).items())
    return values + (f" (when {when})" if when else "")


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" (95 % interval {interval[0]:.4f} to {interval[1]:.4f})"


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    if not rows:
        return ""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(value: Any) -> str:
    """A text as Markdown shows it verbatim, in one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(value).split()))
