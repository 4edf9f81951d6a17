"""Checks of a trial's settings that read no data, so that a study is refused before anything is made."""

from collections.abc import Callable, Iterator

from trainables.class_names import class_name_findings
from trainables.custom import PartError, is_own, load_part
from trainables.data.augment import augment_findings
from trainables.losses.checks import loss_findings
from trainables.losses.own import check_own_term
from trainables.models.build import check_model
from trainables.models.errors import ModelError
from trainables.models.table import row_of
from trainables.settings import TrialSettings
from trainables.trial_run import load_entry

DEFAULT_ENTRY = str(TrialSettings.model_fields["entry"].default)


class SettingsError(ValueError):
    """Settings that are valid one by one but cannot work together; one finding a line, each with its dotted path."""


def check_settings(settings: TrialSettings) -> None:
    """Raise SettingsError, with all findings, for settings that no data can make work."""
    if findings := list(_findings(settings)):
        raise SettingsError("\n".join(findings))


def _findings(settings: TrialSettings) -> Iterator[str]:
    try:
        load_entry(settings.entry)
    except PartError as error:
        yield str(error)
    # A user's own class may read the settings below in its own way.
    if settings.entry != DEFAULT_ENTRY:
        return
    yield from _refusals(settings)
    smallest = row_of(settings.model.name).smallest_batch
    if settings.batch_size < smallest:
        yield (
            f"batch_size: got {settings.batch_size}, but {settings.model.name} pools to one pixel before a BatchNorm "
            f"and needs at least {smallest} images"
        )
    if settings.schedule.warmup_epochs >= settings.epochs:
        yield (
            f"schedule.warmup_epochs: got {settings.schedule.warmup_epochs:g}, expected less than epochs "
            f"({settings.epochs})"
        )
    if settings.last_epoch > settings.epochs:
        yield f"refit.lr_trace: got {settings.last_epoch} epochs, expected at most epochs ({settings.epochs})"
    yield from loss_findings(settings.loss)
    boundary = settings.loss.terms.boundary
    if boundary.weight > 0 and boundary.warmup_epochs >= settings.epochs:
        yield (
            f"loss.terms.boundary.warmup_epochs: got {boundary.warmup_epochs:g}, expected less than epochs "
            f"({settings.epochs})"
        )
    if settings.data.classes is not None:
        yield from class_name_findings(settings, settings.data.classes)
    yield from augment_findings(settings.augment, settings.data.size)


def _refusals(settings: TrialSettings) -> Iterator[str]:
    """What the model and parts of the user's own have against the settings."""
    term, layout = settings.loss.terms.custom, settings.data.format
    checks: list[Callable[[], object]] = [lambda: check_model(settings.model)]
    if term.entry is not None:
        checks.append(lambda: check_own_term(term))
    if is_own(layout):
        checks.append(lambda: load_part(layout, "data.format", ("settings",)))
    for check in checks:
        try:
            check()
        except (ModelError, PartError) as error:
            yield str(error)
