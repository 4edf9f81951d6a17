"""The trainable of a segmentation trial."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from trainables.applied import prove_applied
from trainables.class_names import label_ids
from trainables.clip import GradientClip
from trainables.data.augment import build_pipeline
from trainables.data.batches import TrainBatches
from trainables.data.dataset import prepare
from trainables.data.repeats import leaked, shown_per_epoch
from trainables.data.split_data import SplitData
from trainables.data.splits import Split
from trainables.ema import AveragedWeights
from trainables.inference import place
from trainables.losses.class_weights import class_weights
from trainables.losses.criterion import build_criterion
from trainables.metrics import MetricError, miou_of
from trainables.models.build import build_model
from trainables.optimizers import build_optimizer
from trainables.pictures import shown_indices, take_pictures
from trainables.protocol import Context, EpochResult, State
from trainables.schedules import Schedule
from trainables.seeding import derive, seed_everything
from trainables.settings import TrialSettings
from trainables.train_pass import train_epoch
from trainables.validation import validate


class SegmentationTrainable:
    """A model, its data and all that trains it."""

    class_names: tuple[str, ...]
    applied: Mapping[str, Any]

    def setup(self, settings: TrialSettings, context: Context) -> None:
        """Prepare train and validation data, build the model and prove the settings applied.

        Raises the ValueErrors of data, model, loss and metric, and RuntimeError if the settings are not in force.
        """
        train = prepare(settings.data, Split.TRAIN, context.cache)
        validation = prepare(settings.data, Split.VALIDATION, context.cache)
        self.build(settings, context, train, validation)

    def build(self, settings: TrialSettings, context: Context, train: SplitData, validation: SplitData) -> None:
        """The part of `setup` after the data."""
        self.class_names = train.class_names
        self._settings = settings
        self._validation_data = validation
        self._ignore_target = label_ids(settings.metric.ignore_target, self.class_names, "metric.ignore_target")
        self._exclude = label_ids(settings.metric.exclude, self.class_names, "metric.exclude")
        uncounted = {*self._ignore_target, *self._exclude}
        if not any(pixels for k, pixels in enumerate(validation.pixels_K) if k not in uncounted):
            raise MetricError(
                "the validation split has no pixel that counts in mIoU; shorten metric.exclude or metric.ignore_target"
            )
        if settings.augment.oversample.leaky:
            train = leaked(settings.augment.oversample, train, validation, context.cache)
        shown_N = shown_per_epoch(settings.augment, train)
        channels, size = train.images_NHWC.shape[-1], train.images_NHWC.shape[1:3]
        seed_everything(derive(settings.seed, "weights"))
        net = build_model(settings.model, channels, len(self.class_names))
        self._inference = place(net, settings, context.device)
        weights_K = class_weights(settings.loss, train.pixels_NK, self.class_names, shown_N)
        self._criterion = build_criterion(settings.loss, weights_K, self.class_names, context.device)
        self._optimizer = build_optimizer(net, settings.optimizer)
        clip_norm, decay = settings.optimizer.clip_norm, settings.optimizer.ema
        self._clip = None if clip_norm is None else GradientClip(self._optimizer, clip_norm)
        self._ema = None if decay is None else AveragedWeights(net, decay)
        pipeline = build_pipeline(settings.augment, (size[0], size[1]), channels)
        self._batches = TrainBatches(train, settings.batch_size, pipeline, settings.seed, context.threads, shown_N)
        self._schedule = Schedule(self._optimizer, settings.schedule, settings.epochs, len(self._batches))
        self._net = net
        self.applied = prove_applied(
            settings,
            net,
            self._optimizer,
            self._schedule,
            self._criterion,
            pipeline,
            self._inference,
            class_names=self.class_names,
            clip=self._clip,
            ema=self._ema,
        )

    def run_epoch(self, epoch: int) -> EpochResult:
        """Train epoch 1, 2, … and validate it."""
        seed_everything(derive(self._settings.seed, "epoch", epoch))
        train_loss = train_epoch(
            self._inference,
            self._criterion.at(epoch),
            self._optimizer,
            self._schedule,
            self._batches.epoch(epoch),
            first_step=(epoch - 1) * len(self._batches),
            clip=self._clip,
            ema=self._ema,
        )
        with nullcontext() if self._ema is None else self._ema.in_place():
            validation = validate(
                self._inference,
                self._criterion,
                self._validation_data,
                self._settings.batch_size,
                ignore_target=self._ignore_target,
                pictures=shown_indices(self._validation_data),
            )
        metrics = {
            "val/loss": validation.loss,
            "val/ce": validation.ce,
            "train/loss": train_loss,
            "lr": self._schedule.rate,
        }
        self._schedule.after_epoch(validation.loss, miou_of(validation.counts_KK, self._exclude))
        pictures = take_pictures(self._validation_data, validation.predictions)
        return EpochResult(validation.counts_KK, metrics, pictures)

    def state(self) -> State:
        """Weights, averages, optimizer and schedule; random numbers follow from the seed and the epoch."""
        averages = {} if self._ema is None else {"ema": self._ema.state_dict()}
        return {
            "model": self._net.net.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            **averages,
        }

    def load_state(self, state: State) -> None:
        """Go on from a state."""
        self._net.net.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        if self._ema is not None:
            self._ema.load_state_dict(state["ema"])

    def model_state(self) -> State:
        """The weights that are validated, under the names of the plain network, without this project's wrapper."""
        averages = {} if self._ema is None else self._ema.state_dict()
        return {**self._net.net.state_dict(), **averages}

    def reset(self) -> None:
        """Let go of model, optimizer and data."""
        self.__dict__.clear()
