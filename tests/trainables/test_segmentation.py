"""The trainable of a segmentation trial on data in memory and on generated terrain."""

import gc
import weakref

import numpy as np
import pytest
import torch

from trainables.class_names import ClassNameError
from trainables.data.dataset import prepare
from trainables.data.splits import Split
from trainables.metrics import MetricError
from trainables.protocol import Context
from trainables.segmentation import SegmentationTrainable
from trainables.settings import TrialSettings
from trainables.validation import validate


def built(settings, tmp_path, train, validation):
    trainable = SegmentationTrainable()
    context = Context(folder=tmp_path, cache=tmp_path, device=torch.device("cpu"), threads=1)
    trainable.build(settings, context, train, validation)
    return trainable


def settings_of(**sections):
    tiny = {"epochs": 4, "batch_size": 3, "precision": "fp32", "model": {"width": 4, "depth": 2}}
    return TrialSettings.model_validate({**tiny, **sections})


def test_an_epoch_gives_counts_of_every_valid_pixel_and_all_figures(tmp_path, make_split):
    data = make_split()
    result = built(settings_of(), tmp_path, data, data).run_epoch(1)
    np.testing.assert_array_equal(result.confusion_KK.sum(1), data.pixels_K)
    assert set(result.metrics) == {"train/loss", "val/loss", "val/ce", "lr"}
    assert result.metrics["val/loss"] == result.metrics["val/ce"]
    assert result.pictures.names == ("image0", "image2", "image3", "image5")
    for truth, prediction in zip(result.pictures.truths, result.pictures.predictions, strict=True):
        assert prediction.dtype == truth.dtype == np.uint8
        assert prediction.shape == truth.shape


def test_it_learns(tmp_path, make_split):
    data = make_split()
    trainable = built(settings_of(epochs=15, optimizer={"lr": 1e-2}), tmp_path, data, data)
    losses = [trainable.run_epoch(epoch).metrics["val/ce"] for epoch in range(1, 16)]
    assert losses[-1] < 0.7 * losses[0]


def test_masks_of_their_own_sizes_are_scored_at_those_sizes(tmp_path, terrain_cache, terrain_settings):
    settings = terrain_settings(
        data={"format": "terrain", "size": [40, 70], "terrain": {"images": 40}}, model={"width": 2, "depth": 3}
    )
    train, validation = (prepare(settings.data, split, terrain_cache) for split in (Split.TRAIN, Split.VALIDATION))
    result = built(settings, tmp_path, train, validation).run_epoch(1)
    assert validation.images_NHWC.shape[1:3] == (40, 70)
    np.testing.assert_array_equal(result.confusion_KK.sum(1), validation.pixels_K)
    assert result.pictures.predictions[0].shape == (64, 128)


def test_what_is_in_force_is_told(tmp_path, make_split):
    data = make_split()
    loss = {"terms": {"cross_entropy": {"weight": 0.5}, "dice": {"weight": 2}}, "class_weights": "inverse"}
    sections = {"loss": loss, "optimizer": {"name": "sgd", "lr": 0.02}, "augment": {"set": "flips"}}
    trainable = built(settings_of(**sections), tmp_path, data, data)
    applied = trainable.applied
    assert applied["trainable_parameters"] == applied["total_parameters"] > 0
    assert applied["lr_peak"] == 0.02
    assert applied["loss_terms"] == {"cross_entropy": 0.5, "dice": 2.0}
    expected = data.pixels_K.sum() / data.pixels_K
    np.testing.assert_allclose(applied["class_weights"], expected / expected.mean(), rtol=1e-6)
    assert "HorizontalFlip" in applied["augmentations"]
    assert applied["precision"] == "fp32"
    assert applied["unfrozen"] == ["head", "decoder", "stage4", "stage3", "stage2"]


def test_the_rate_follows_the_schedule_within_the_epoch(tmp_path, make_split):
    data = make_split()
    sections = {"schedule": {"name": "cosine"}, "optimizer": {"lr": 0.1}}
    trainable = built(settings_of(epochs=2, **sections), tmp_path, data, data)
    rates = [trainable.run_epoch(epoch).metrics["lr"] for epoch in (1, 2)]
    # Two steps an epoch: the last of each are steps 1 and 3 of 4.
    assert rates == pytest.approx([0.05 * (1 + np.cos(np.pi * step / 4)) for step in (1, 3)])


def test_two_epochs_at_decoder_move_no_bit_of_the_encoder(tmp_path, make_split):
    data = make_split(size=(32, 64))
    model = {"name": "smp_unet", "encoder": "mobilenetv3_small_050", "unfreeze": "decoder"}
    trainable = built(settings_of(model=model, optimizer={"name": "adamw", "weight_decay": 0.1}), tmp_path, data, data)
    before = {name: value.clone() for name, value in trainable.model_state().items()}
    for epoch in (1, 2):
        trainable.run_epoch(epoch)
    moved = {name for name, value in trainable.model_state().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("decoder.") for name in moved)
    assert not [name for name in moved if name.startswith("encoder.")]
    assert trainable.applied["unfrozen"] == ["head", "decoder"]


@pytest.mark.slow
def test_two_epochs_at_decoder_move_no_bit_of_real_imagenet_weights(tmp_path, shared, make_split):
    data = make_split(size=(32, 64))
    weights = shared / "weights" / "mobilenetv2_100_imagenet.safetensors"
    model = {"name": "smp_unet", "encoder": "mobilenetv2_100", "weights": str(weights), "unfreeze": "decoder"}
    trainable = built(settings_of(model=model), tmp_path, data, data)
    before = {name: value.clone() for name, value in trainable.model_state().items() if name.startswith("encoder.")}
    for epoch in (1, 2):
        trainable.run_epoch(epoch)
    after = trainable.model_state()
    assert any(name.endswith("running_var") for name in before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


# Everything that training remembers from epoch to epoch, and all that is added to a plain step.
EVERYTHING = {
    "epochs": 4,
    "schedule": {"name": "restarts", "warmup_epochs": 0.5, "restarts": {"first_epochs": 1, "growth": 1.5}},
    "optimizer": {"name": "adamw", "lr": 1e-2, "layer_decay": 0.7, "clip_norm": 0.5, "ema": 0.8},
    "loss": {
        "terms": {
            "cross_entropy": {"label_smoothing": 0.1},
            "focal": {"weight": 0.5},
            "boundary": {"weight": 0.3, "warmup_epochs": 3},
            "lovasz": {"weight": 0.5},
        },
        "class_weights": "median_frequency",
        "ignore_target": ["class0"],
    },
}


def test_everything_goes_on_the_same_from_a_stored_state(tmp_path, make_split):
    data = make_split()
    whole = built(settings_of(**EVERYTHING), tmp_path, data, data)
    for epoch in (1, 2):
        whole.run_epoch(epoch)
    torch.save({"state": whole.state()}, tmp_path / "last.pt")
    parts = built(settings_of(**EVERYTHING), tmp_path, data, data)
    parts.load_state(torch.load(tmp_path / "last.pt", weights_only=True)["state"])
    for epoch in (3, 4):
        first, second = whole.run_epoch(epoch), parts.run_epoch(epoch)
        assert first.metrics == second.metrics
        np.testing.assert_array_equal(first.confusion_KK, second.confusion_KK)
    for one, other in ((whole.model_state(), parts.model_state()), (whole.state()["model"], parts.state()["model"])):
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_averaged_weights_are_validated_and_kept_while_the_others_train(tmp_path, make_split):
    data = make_split()
    plain = built(settings_of(optimizer={"lr": 1e-2}), tmp_path, data, data)
    averaged = built(settings_of(optimizer={"lr": 1e-2, "ema": 0.9}), tmp_path, data, data)
    plain_metrics, metrics = plain.run_epoch(1).metrics, averaged.run_epoch(1).metrics
    assert metrics["train/loss"] == plain_metrics["train/loss"]
    assert metrics["val/loss"] != plain_metrics["val/loss"]
    raw, kept = averaged.state()["model"], averaged.model_state()
    assert all(torch.equal(value, plain.model_state()[name]) for name, value in raw.items())
    assert not torch.equal(kept["segmentation_head.weight"], raw["segmentation_head.weight"])
    averaged._net.net.load_state_dict(kept)
    result = validate(averaged._inference, averaged._criterion, data, 3)
    assert result.loss == metrics["val/loss"]


def test_a_frozen_encoder_stays_as_it_is_among_averaged_weights(tmp_path, make_split):
    data = make_split(size=(32, 64))
    model = {"name": "smp_unet", "encoder": "mobilenetv3_small_050", "unfreeze": "decoder"}
    trainable = built(settings_of(model=model, optimizer={"ema": 0.9, "layer_decay": 0.5}), tmp_path, data, data)
    before = {name: value.clone() for name, value in trainable.model_state().items()}
    trainable.run_epoch(1)
    assert set(trainable.applied["lr_peaks"]) == {"head", "decoder"}
    moved = {name for name, value in trainable.model_state().items() if not torch.equal(value, before[name])}
    assert moved
    assert not [name for name in moved if name.startswith("encoder.")]


def test_a_small_norm_keeps_steps_small(tmp_path, make_split):
    data = make_split()
    sgd = {"name": "sgd", "lr": 1.0, "momentum": 0}
    trainable = built(settings_of(optimizer={**sgd, "clip_norm": 1e-3}), tmp_path, data, data)
    before = [parameter.detach().clone() for parameter in trainable._net.parameters()]
    trainable.run_epoch(1)
    moved = sum(
        float((p.detach() - q).square().sum()) for p, q in zip(trainable._net.parameters(), before, strict=True)
    )
    assert 0 < moved**0.5 <= 2 * 1.001e-3  # two steps


def test_target_pixels_of_ignored_classes_do_not_train(tmp_path, make_split):
    data = make_split()
    trainable = built(
        settings_of(epochs=12, optimizer={"lr": 2e-2}, loss={"ignore_target": ["class0"]}), tmp_path, data, data
    )
    for epoch in range(1, 13):
        result = trainable.run_epoch(epoch)
    # The class is never a target, so that it is hardly predicted, but its pixels still count in the metric.
    assert result.confusion_KK[0].sum() == data.pixels_K[0]
    assert result.confusion_KK[:, 0].sum() < 0.05 * result.confusion_KK.sum()


def test_bf16_trains_to_nearly_the_same(tmp_path, make_split):
    data = make_split()
    losses = [
        built(settings_of(precision=precision), tmp_path, data, data).run_epoch(1).metrics["val/ce"]
        for precision in ("fp32", "bf16")
    ]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_class_warnings_and_metric_settings_are_checked_against_the_data(tmp_path, make_split):
    data = make_split()
    with pytest.raises(ClassNameError, match=r"metric.exclude: no class 'sky'"):
        built(settings_of(metric={"exclude": ["sky"]}), tmp_path, data, data)
    with pytest.raises(MetricError, match="the validation split has no pixel that counts in mIoU"):
        built(settings_of(metric={"exclude": ["class0"], "ignore_target": ["class1", "class2"]}), tmp_path, data, data)


def test_ignored_target_and_excluded_class(tmp_path, make_split):
    data = make_split()
    metric = {"exclude": ["class0"], "ignore_target": ["class2"]}
    counts = built(settings_of(metric=metric), tmp_path, data, data).run_epoch(1).confusion_KK
    assert counts[2].sum() == 0
    assert counts[0].sum() == data.pixels_K[0]


def test_reset_lets_go_of_the_model(tmp_path, make_split):
    data = make_split()
    trainable = built(settings_of(), tmp_path, data, data)
    trainable.run_epoch(1)
    model = weakref.ref(trainable._net)
    trainable.reset()
    gc.collect()
    assert model() is None
