"""Errors of models that a user can mend."""


class ModelError(ValueError):
    """A model that cannot be built, loaded or frozen as asked."""
