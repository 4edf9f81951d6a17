"""Settings that cannot work are refused before any data is read."""

import subprocess
import sys

import pytest

from trainables.check import SettingsError, check_settings
from trainables.settings import TrialSettings


def settings_of(**sections):
    return TrialSettings.model_validate(sections)


def test_defaults_pass():
    check_settings(TrialSettings())


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"unfreeze": "head", "name": "smp_unet"}}, r"^model.unfreeze: head needs a pretrained decoder"),
        ({"model": {"name": "fpn", "encoder": "mobilenet_v2"}}, r"^model.encoder: timm has no 'mobilenet_v2'"),
        ({"model": {"weights": "absent.pt"}}, r"^model.weights: absent.pt: no such file"),
        ({"entry": "nowhere:Thing"}, r"^entry: 'nowhere:Thing' cannot be imported"),
        ({"epochs": 3, "schedule": {"warmup_epochs": 3}}, r"^schedule.warmup_epochs: got 3, expected less than epochs"),
        ({"loss": {"terms": {"cross_entropy": {"weight": 0}}}}, r"^loss.terms: every weight is 0"),
        (
            {"loss": {"terms": {"cross_entropy": {"weight": 0}, "boundary": {"weight": 1}}}},
            r"^loss.terms.boundary: alone it is least for empty predictions; give a region term a weight too",
        ),
        (
            {"epochs": 3, "loss": {"terms": {"boundary": {"weight": 1, "warmup_epochs": 3}}}},
            r"^loss.terms.boundary.warmup_epochs: got 3, expected less than epochs \(3\)",
        ),
        ({"loss": {"class_weights": "by_hand"}}, r"^loss.weights_by_hand: empty, but loss.class_weights is by_hand"),
        (
            {"loss": {"class_weights": "inverse", "weights_by_hand": {"rock": 2}}},
            r"^loss.weights_by_hand: given, but loss.class_weights is inverse",
        ),
        (
            {"data": {"classes": ["soil", "rock"]}, "loss": {"ignore_target": ["rok"]}},
            r"^loss.ignore_target: no class 'rok'; did you mean 'rock'\?",
        ),
        (
            {
                "data": {"classes": ["soil", "rock"]},
                "loss": {"class_weights": "by_hand", "weights_by_hand": {"sol": 2}},
            },
            r"^loss.weights_by_hand: no class 'sol'; did you mean 'soil'\?",
        ),
        ({"model": {"name": "deeplabv3"}, "batch_size": 1}, r"^batch_size: got 1, but deeplabv3 pools to one pixel"),
    ],
)
def test_each_finding_begins_with_its_path(sections, message):
    with pytest.raises(SettingsError, match=message):
        check_settings(settings_of(**sections))


@pytest.mark.parametrize(
    "sections",
    [
        {"epochs": 3, "schedule": {"name": "restarts", "restarts": {"first_epochs": 50}}},
        {"loss": {"terms": {"cross_entropy": {"weight": 0}, "boundary": {"weight": 1}, "lovasz": {"weight": 1}}}},
        {"epochs": 3, "loss": {"terms": {"boundary": {"warmup_epochs": 9}}}},
        {"loss": {"class_weights": "by_hand", "weights_by_hand": {"rock": 2}}},
    ],
)
def test_what_works_passes(sections):
    check_settings(settings_of(**sections))


def test_all_findings_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        check_settings(settings_of(model={"unfreeze": "head"}, epochs=1, schedule={"warmup_epochs": 2}))
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "model.unfreeze",
        "schedule.warmup_epochs",
    ]


def test_a_users_own_class_reads_the_rest_in_its_own_way():
    check_settings(settings_of(entry="trainables.segmentation:SegmentationTrainable"))
    check_settings(settings_of(entry="trainables.protocol:Trainable", model={"unfreeze": "head"}))


def test_settings_need_no_torch():
    heavy = "{'torch', 'timm', 'segmentation_models_pytorch', 'albumentations'}"
    code = f"import sys; import trainables.settings; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
