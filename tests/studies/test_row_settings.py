"""Named rows of a study file: what good ones become, and each mistake with its line, key and what is accepted."""

import jsonschema
import pytest

from studies.files.problems import StudyFileError
from studies.files.rows_settings import row_settings
from studies.files.study_file import parse_study
from studies.files.study_schema import study_schema
from studies.files.study_settings import StudySettings

GOOD = """\
trial:
  epochs: 2
  loss: {ignore_target: [sky]}
base: second
rows:
  first: {set: {loss.ignore_target: [], model.width: 4, metric.exclude: [sky]}, published: {test_miou: 0.5}}
  second: {}
  third:
    set: {augment.oversample.leaky: true, data.fraction: 0.5}
    published: {val_miou: 0.25, best_epoch: 7, trainable_parameters: 28490}
    note: as in the report
"""


def parse(text, *overrides):
    return parse_study(text, "my.yaml", "my", overrides, {})


def refused(text, *overrides):
    with pytest.raises(StudyFileError, match=r".") as error:
        parse(text, *overrides)
    return str(error.value).splitlines()


def test_rows_without_a_space_need_no_budget():
    study = parse(GOOD)
    assert (study.base_row, study.space, study.search.trials) == ("second", {}, None)
    first = row_settings(study.trial, study.rows["first"])
    assert (first.model.width, first.loss.ignore_target, first.metric.exclude) == (4, (), ("sky",))
    assert row_settings(study.trial, study.rows["second"]) == study.trial
    assert study.rows["third"].published.given() == {
        "val_miou": 0.25,
        "best_epoch": 7,
        "trainable_parameters": 28490,
    }
    assert StudySettings.model_validate(study.resolved()) == study
    assert parse(GOOD.replace("base: second\n", "")).base_row == "first"


def test_an_option_reaches_into_a_row():
    study = parse(GOOD, "rows.first.set.model.width=8", "rows.first.note=mine")
    assert study.rows["first"].set["model.width"] == 8
    assert study.rows["first"].note == "mine"


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        (
            "base: second",
            "promotion: {rows: [first, secnd]}",
            ["my.yaml:4: promotion.rows", "did you mean `second`?", "first, second, third"],
        ),
        ("base: second", "base: secnd", ["my.yaml:4: base", "did you mean `second`?", "first, second, third"]),
        ("model.width: 4", "model.widht: 4", ["my.yaml:6: rows.first.set.model.widht", "did you mean `model.width`?"]),
        ("model.width: 4", "model.width: wide", ["my.yaml:6: rows.first.set.model.width", "got the text 'wide'"]),
        ("model.width: 4", "trial.model.width: 4", ["paths in `set` start below `trial`; write `model.width`"]),
        ("model.width: 4", "model: {width: 4}", ["rows.first.set.model", "is a group of settings", "model.depth"]),
        ("model.width: 4", "seed: 4", ["cannot differ between rows", "--seeds"]),
        ("model.width: 4", "data.split_seed: 4", ["cannot differ between rows", "rows would not compare"]),
        ("model.width: 4", "optimizer.lr: -1", ["my.yaml:6: rows.first.set.optimizer.lr", "accepted: a number > 0"]),
        ("test_miou: 0.5", "test_iou: 0.5", ["my.yaml:6: rows.first.published.test_iou", "`test_miou`", "val_loss"]),
        ("test_miou: 0.5", "test_miou: 50", ["my.yaml:6: rows.first.published.test_miou", "<= 1"]),
        ("note: as", "notes: as", ["my.yaml:11: rows.third.notes", "did you mean `note`?"]),
        ("model.width: 4", "model.unfreeze: head", ["my.yaml:6: rows.first.set.model.unfreeze", "would freeze random"]),
        ("  second: {}", "  second: 3", ["my.yaml:7: rows.second", "got 3"]),
    ],
)
def test_each_mistake_is_named_with_what_is_accepted(wrong, right, words):
    assert GOOD.count(wrong) == 1
    (line,) = refused(GOOD.replace(wrong, right))
    assert all(word in line for word in words), line


def test_all_mistakes_are_told_at_once():
    text = GOOD.replace("model.width: 4", "model.widht: 4").replace("best_epoch: 7", "best_epoch: -7")
    lines = refused(text.replace("base: second", "base: fourth"))
    assert [line.split(": ")[1] for line in lines[1:]] == [
        "base",
        "rows.first.set.model.widht",
        "rows.third.published.best_epoch",
    ]


def test_the_name_of_the_confirmatory_study_is_kept_free():
    (line,) = refused("name: my/confirm\n" + GOOD)
    assert "my.yaml:1: name" in line


def test_the_schema_knows_the_paths_of_a_row():
    schema = study_schema()
    good = {"rows": {"a": {"set": {"model.width": 4, "loss.ignore_target": []}}}}
    jsonschema.validate(good, schema)
    for wrong in ({"model.widht": 4}, {"seed": 4}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"rows": {"a": {"set": wrong}}}, schema)
