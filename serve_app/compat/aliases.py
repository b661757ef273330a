"""Other services' names of models, and the generators that answer to them."""

from __future__ import annotations

from collections.abc import Mapping

from serve_app.resources import Clients


def named_generators(clients: Clients, usual: Mapping[str, str]) -> dict[str, str]:
    """Return the generator that answers to each name: the ``usual`` ones of a service, those of
    ``MODEL_ALIASES``, which may change them, and the generators' own."""
    own = {name: name for name in clients.catalog}
    named = {**usual, **clients.settings.limits.model_aliases, **own}
    return {name: generator for name, generator in named.items() if generator in clients.catalog}
