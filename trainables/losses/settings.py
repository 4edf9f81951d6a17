"""Settings of the loss: weighted terms and class weights."""

from typing import Literal

from pydantic import Field

from trainables.settings_base import Settings


class TermSettings(Settings):
    """One term of the loss."""

    weight: float = Field(0.0, ge=0, description="factor of the term; 0 removes it")


class CrossEntropySettings(TermSettings):
    """Cross-entropy, weighted by class."""

    weight: float = Field(1.0, ge=0, description="factor of the term; 0 removes it")


class DiceSettings(TermSettings):
    """Soft dice over the classes present in the batch."""


class TermsSettings(Settings):
    """The terms by name."""

    cross_entropy: CrossEntropySettings = CrossEntropySettings()
    dice: DiceSettings = DiceSettings()


class LossSettings(Settings):
    """The loss is the weighted sum of its terms."""

    terms: TermsSettings = TermsSettings()
    class_weights: Literal["none", "inverse", "complement"] = Field(
        "none", description="weights of classes from training pixels: none, inverse (1/p), complement (1 - p)"
    )
