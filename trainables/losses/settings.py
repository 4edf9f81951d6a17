"""Settings of the loss: weighted terms and class weights."""

from typing import Literal

from pydantic import Field, NonNegativeFloat

from trainables.settings_base import ImportPath, Settings


class TermSettings(Settings):
    """One term of the loss."""

    weight: float = Field(0.0, ge=0, description="factor of the term; 0 removes it")


class CrossEntropySettings(TermSettings):
    """Cross-entropy, weighted by class."""

    weight: float = Field(1.0, ge=0, description="factor of the term; 0 removes it")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread evenly over all classes")


class DiceSettings(TermSettings):
    """Soft dice over the classes present in the batch."""


class FocalSettings(TermSettings):
    """Focal loss, weighted by class."""

    gamma: float = Field(2.0, ge=0, description="exponent that plays down easy pixels; 0 is cross-entropy")


class BoundarySettings(TermSettings):
    """Boundary loss over signed distances to the target's outline; only beside another term."""

    warmup_epochs: float = Field(
        0.0,
        ge=0,
        description="epochs over which the weight grows linearly from 0 in training; validation takes the full weight",
    )


class LovaszSettings(TermSettings):
    """Lovász softmax over the classes present in the batch, all its pixels together."""


class CustomSettings(TermSettings):
    """A term of the user's own."""

    entry: ImportPath | None = Field(
        None, description="package.module:Class of the term, as trainables.losses.terms.LossTerm"
    )


class TermsSettings(Settings):
    """The terms by name."""

    cross_entropy: CrossEntropySettings = CrossEntropySettings()
    dice: DiceSettings = DiceSettings()
    focal: FocalSettings = FocalSettings()
    boundary: BoundarySettings = BoundarySettings()
    lovasz: LovaszSettings = LovaszSettings()
    custom: CustomSettings = CustomSettings()


class LossSettings(Settings):
    """The loss is the weighted sum of its terms."""

    terms: TermsSettings = TermsSettings()
    class_weights: Literal["none", "inverse", "complement", "median_frequency", "effective_number", "by_hand"] = Field(
        "none",
        description="weights of classes from training pixels: none, inverse (1/p), complement (1 - p), "
        "median_frequency, effective_number (over images), by_hand (loss.weights_by_hand)",
    )
    effective_number_beta: float = Field(0.999, ge=0, lt=1, description="beta of effective_number")
    weights_by_hand: dict[str, NonNegativeFloat] = Field(
        default_factory=dict,
        description="weight by class name, for by_hand; classes not named get 1; all are scaled to mean 1 over the "
        "classes in training",
    )
    ignore_target: tuple[str, ...] = Field(
        (), description="classes whose target pixels do not count in the loss, nor in class weights"
    )
    auxiliary: float = Field(
        0.4, ge=0, description="factor of the loss of a model's auxiliary outputs, where it has any"
    )
