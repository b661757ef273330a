"""The words each picture is drawn from: who, in what, doing what, where, in which style."""

from __future__ import annotations

import re

from deployments.generators.influencer.spec import Shot

_LOOKS = re.compile(r"[,;.]|\s(?:with|in|wearing|who|whose|having)\s", re.IGNORECASE)
_PLACES = (
    "at", "in", "on", "by", "near", "under", "over", "inside", "outside", "beside", "behind",
    "between", "among", "along", "above", "below", "before", "during", "around", "against", "from",
    "with", "within", "next", "across", "through", "atop", "amid", "off",
)  # fmt: skip
_WORN = ("in", "wearing", "dressed", "with")
_ARTICLES = ("a", "an", "the", "my", "his", "her", "their", "some")
DEFAULT_SUBJECT = "a person"
"""Who is drawn where neither the request nor the persona says it: the picture tells the rest."""


def prompt_for(shot: Shot, description: str, style: str | None) -> str:
    """One prompt, in the order that captions have: ``a woman in a blue shirt at the beach``.

    Nothing is added that the user did not say: of the looks, the reference picture tells.
    """
    said = _join(description.rstrip(" .,;") or DEFAULT_SUBJECT, _outfit_phrase(shot.outfit))
    if shot.pose:
        said = f"{said}, {_ended(shot.pose)},"
    return ", ".join(part for part in (_place_phrase(said, _ended(shot.scene)), style) if part)


def subject_of(description: str) -> str:
    """The description's head: ``a woman`` of ``a woman with red hair, 30``. The looks that follow
    are told by the reference picture, where there is one, and better."""
    return _LOOKS.split(description, maxsplit=1)[0].strip()


def _outfit_phrase(outfit: str | None) -> str:
    outfit = _ended(outfit or "")
    return outfit if not outfit or _first(outfit) in _WORN else f"in {outfit}"


def _place_phrase(said: str, scene: str) -> str:
    """``beach`` is at the beach, ``a beach`` at a beach; ``on the moon`` and ``Rome`` stay."""
    first = _first(scene)
    if first in _PLACES:
        return _join(said, scene)
    if first in _ARTICLES:
        return _join(said, f"at {scene}")
    if scene.islower() and len(scene.split()) == 1:
        return _join(said, f"at the {scene}")
    return f"{said.rstrip(',')}, {scene}"


def _first(text: str) -> str:
    return text.split(maxsplit=1)[0].lower() if text else ""


def _ended(text: str) -> str:
    return text.strip().rstrip(".,;").strip()


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)
