"""Classes that settings name."""

import pytest

from trainables.class_names import ClassNameError, class_name_findings, label_ids
from trainables.settings import TrialSettings


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(
        ClassNameError, match=r"metric.exclude: no class 'sandy'; did you mean 'sand'\? classes are soil, sand"
    ):
        label_ids(["sandy"], ("soil", "sand"), "metric.exclude")
    assert label_ids(["sand"], ("soil", "sand"), "metric.exclude") == (1,)


def test_every_setting_that_names_classes_is_looked_at():
    settings = TrialSettings.model_validate(
        {
            "loss": {"ignore_target": ["a"], "class_weights": "by_hand", "weights_by_hand": {"b": 1.0}},
            "metric": {"exclude": ["c"], "ignore_target": ["d"]},
            "augment": {"oversample": {"classes": ["e", "soil"]}},
        }
    )
    findings = list(class_name_findings(settings, ("soil", "sand")))
    assert [finding.split(";")[0] for finding in findings] == [
        "loss.ignore_target: no class 'a'",
        "loss.weights_by_hand: no class 'b'",
        "metric.exclude: no class 'c'",
        "metric.ignore_target: no class 'd'",
        "augment.oversample.classes: no class 'e'",
    ]
