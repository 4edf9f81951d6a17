"""The trainable of a segmentation trial."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from trainables.applied import prove_applied
from trainables.class_names import label_ids
from trainables.clip import GradientClip
from trainables.data.augment import build_pipeline
from trainables.data.batches import TrainBatches
from trainables.data.dataset import prepare
from trainables.data.joined import prepare_joined
from trainables.data.repeats import leaked, shown_per_epoch
from trainables.data.split_data import SplitData, only
from trainables.data.splits import Split
from trainables.distributed import over_ranks
from trainables.ema import AveragedWeights
from trainables.inference import place
from trainables.latency import measure_latency
from trainables.losses.class_weights import class_weights
from trainables.losses.criterion import build_criterion
from trainables.memory import while_it_fits
from trainables.metrics import MetricError, miou_of
from trainables.models.build import build_model
from trainables.optimizers import build_optimizer
from trainables.pictures import shown_indices, take_pictures
from trainables.protocol import Context, EpochResult, Pictures, State
from trainables.replay import build_schedule
from trainables.seeding import derive, seed_everything
from trainables.settings import TrialSettings
from trainables.train_pass import train_epoch
from trainables.validation import Validation, validate


class SegmentationTrainable:
    """A model, its data and all that trains it."""

    class_names: tuple[str, ...]

    def setup(self, settings: TrialSettings, context: Context) -> None:
        """Prepare train and validation data, build the model and prove the settings applied.

        A refit trains on both and validates on nothing. Raises the ValueErrors of data, model, loss and metric, and
        RuntimeError if the settings are not in force.
        """
        if settings.refit is not None:
            self.build(settings, context, prepare_joined(settings.data, context.cache), None)
            return
        train = prepare(settings.data, Split.TRAIN, context.cache)
        validation = prepare(settings.data, Split.VALIDATION, context.cache)
        self.build(settings, context, train, validation)

    def build(self, settings: TrialSettings, context: Context, train: SplitData, validation: SplitData | None) -> None:
        """The part of `setup` after the data; without validation data nothing is validated."""
        self.class_names = train.class_names
        self._settings = settings
        self._validation_data = validation
        self._ignore_target = label_ids(settings.metric.ignore_target, self.class_names, "metric.ignore_target")
        self._exclude = label_ids(settings.metric.exclude, self.class_names, "metric.exclude")
        if validation is not None:
            uncounted = {*self._ignore_target, *self._exclude}
            if not any(pixels for k, pixels in enumerate(validation.pixels_K) if k not in uncounted):
                raise MetricError(
                    "the validation split has no pixel that counts in mIoU; shorten metric.exclude or "
                    "metric.ignore_target"
                )
            if settings.augment.oversample.leaky:
                train = leaked(settings.augment.oversample, train, validation, context.cache)
        shown_N = shown_per_epoch(settings.augment, train)
        channels, size = train.images_NHWC.shape[-1], train.images_NHWC.shape[1:3]
        seed_everything(derive(settings.seed, "weights"))
        net = build_model(settings.model, channels, len(self.class_names))
        ranks = self._ranks = context.ranks
        if ranks.sync_batch_norm:
            # It imports timm, which takes seconds.
            from trainables.sync_batch_norm import synchronise_batch_norm

            synchronise_batch_norm(net, context.device)
        self._inference = place(net, settings, context.device)
        weights_K = class_weights(settings.loss, train.pixels_NK, self.class_names, shown_N)
        self._criterion = build_criterion(settings.loss, weights_K, self.class_names, context.device)
        if ranks.size > 1:
            an_image = np.zeros((1, *size, channels), dtype=np.uint8)
            self._inference = over_ranks(self._inference, an_image, auxiliary=self._criterion.auxiliary > 0)
        self._optimizer = build_optimizer(net, settings.optimizer)
        clip_norm, decay = settings.optimizer.clip_norm, settings.optimizer.ema
        self._clip = None if clip_norm is None else GradientClip(self._optimizer, clip_norm)
        self._ema = None if decay is None else AveragedWeights(net, decay)
        pipeline = build_pipeline(settings.augment, (size[0], size[1]), channels)
        self._batches = TrainBatches(
            train, settings.batch_size, pipeline, settings.seed, context.threads, shown_N, ranks
        )
        self._schedule = build_schedule(settings, self._optimizer, len(self._batches))
        self._net = net
        self._context = context
        self._eval_batch = settings.batch_size
        self._proved = prove_applied(
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
        if ranks.size > 1:
            self._proved |= {"ranks": ranks.size, "sync_batch_norm": ranks.sync_batch_norm}

    @property
    def applied(self) -> Mapping[str, Any]:
        """What is in force; `gradient_exact` where a step is that of the whole batch, however it is cut."""
        micro_batch = self._context.micro_batch
        # BatchNorm over a part of the batch is another configuration than over all of it.
        whole_norm = micro_batch is None and (self._ranks.size == 1 or self._ranks.sync_batch_norm)
        exact_norm = whole_norm or not self._net.trains_batch_norm
        cut = micro_batch is not None or self._ranks.size > 1
        return {
            **self._proved,
            "micro_batch": micro_batch,
            "smallest_micro_batch": self._net.smallest_batch,
            "gradient_exact": exact_norm and (self._criterion.adds_up or not cut),
            "eval_batch": self._eval_batch,
        }

    def run_epoch(self, epoch: int) -> EpochResult:
        """Train epoch 1, 2, … and validate it where there is something to validate on."""
        # Dropout is drawn anew on each rank; the first draws what one process would.
        own = (self._ranks.rank,) if self._ranks.rank > 0 else ()
        seed_everything(derive(self._settings.seed, "epoch", epoch, *own))
        train_loss = train_epoch(
            self._inference,
            self._criterion.at(epoch),
            self._optimizer,
            self._schedule,
            self._batches.epoch(epoch),
            first_step=(epoch - 1) * len(self._batches),
            clip=self._clip,
            ema=self._ema,
            micro_batch=self._context.micro_batch,
            ranks=self._ranks,
        )
        trained = {"train/loss": train_loss, "lr": self._schedule.rate}
        data = self._validation_data
        with nullcontext() if self._ema is None else self._ema.in_place():
            # Within, so that averages of them are rank 0's too.
            self._ranks.copy_first(self._net.buffers())
            if data is None:
                return EpochResult(None, trained, self._last_pictures(epoch))
            validation = self._validated(data)
        metrics = {"val/loss": validation.loss, "val/ce": validation.ce, **trained}
        self._schedule.after_epoch(validation.loss, miou_of(validation.counts_KK, self._exclude))
        pictures = take_pictures(data, validation.predictions)
        return EpochResult(validation.counts_KK, metrics, pictures)

    def _last_pictures(self, epoch: int) -> Pictures | None:
        """A few of a refit's own training images with its last predictions."""
        if epoch < self._settings.last_epoch:
            return None
        shown = only(self._batches.data, shown_indices(self._batches.data))
        return take_pictures(shown, self._validated(shown).predictions)

    def _validated(self, data: SplitData) -> Validation:
        def validated(batch: int) -> Validation:
            return validate(
                self._inference,
                self._criterion,
                data,
                batch,
                ignore_target=self._ignore_target,
                pictures=shown_indices(data),
                ranks=self._ranks,
            )

        if self._ranks.size > 1:
            # All ranks must cut the split alike.
            return validated(self._context.micro_batch or self._eval_batch)
        validation, self._eval_batch = while_it_fits(validated, self._eval_batch, self._context.device)
        return validation

    def latency(self) -> Mapping[str, Any] | None:
        """What `measure_latency` finds with the present weights; None without validation data."""
        data = self._validation_data
        return None if data is None else measure_latency(self._inference, data)

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
