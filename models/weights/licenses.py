"""Weights whose license forbids a paid service are refused unless the operator allows them."""

from __future__ import annotations

from models.profiles.load import Model, noncommercial_weights_allowed


class NonCommercialWeights(RuntimeError):
    """The weights may not be used commercially and ALLOW_NONCOMMERCIAL_WEIGHTS is not 1."""


def require_license(model: Model) -> None:
    """Raise if the license forbids commercial use and the operator has not permitted it."""
    if model.commercial or noncommercial_weights_allowed():
        return
    raise NonCommercialWeights(
        f"{model.name} ({model.licence}) forbids commercial use;"
        " set ALLOW_NONCOMMERCIAL_WEIGHTS=1 if yours is not"
    )
