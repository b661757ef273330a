"""Requests, checked as Stripe documents them.

What may be sent is read from the SDK's own parameter types, which Stripe generates from its API's
specification: an unknown parameter, a missing one, a value outside its list or of another type is
refused, at any depth.
"""

from __future__ import annotations

import importlib
import re
import types
from collections.abc import Sequence
from functools import cache
from typing import (
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)
from urllib.parse import parse_qsl

import stripe
import typing_extensions

from scripts.dev.stripe_standin.errors import Problem

# What the SDK's types carry beside parameters: options of the call.
OPTIONS = frozenset(stripe.RequestOptions.__annotations__)
_PARTS = re.compile(r"\[([^\]]*)\]")


def parse(encoded: str) -> dict[str, Any]:
    """``a[b][0]=c`` as ``{"a": {"b": {"0": "c"}}}``; lists are told by the types later."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        head = name.split("[", 1)[0]
        path = [head, *_PARTS.findall(name[len(head) :])]
        if not head or head + "".join(f"[{part}]" for part in path[1:]) != name:
            raise Problem(f"Invalid parameter name: {name}", param=name)
        _put(tree, path, value, name)
    return tree


def _put(tree: dict[str, Any], path: Sequence[str], value: str, name: str) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise Problem(f"Invalid hash: {name}", param=name)
    tree[path[-1] or str(len(tree))] = value


@cache
def declared(where: str) -> type:
    """``"checkout.SessionCreateParams"`` of the SDK."""
    folder, _, name = where.rpartition(".")
    module = importlib.import_module(f"stripe.params.{folder}" if folder else "stripe.params")
    found: type = getattr(module, name)
    return found


@cache
def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    """By name: its type, and whether it must be there."""
    module = importlib.import_module(cls.__module__)
    # Without the options: their types are known to type checkers only.
    plain = type("Plain", (), {})
    plain.__annotations__ = {
        name: hint for name, hint in cls.__annotations__.items() if name not in OPTIONS
    }
    hints = get_type_hints(plain, vars(module), include_extras=True)
    fields = {}
    for name, hint in hints.items():
        needed = name in cls.__required_keys__  # type: ignore[attr-defined]
        if get_origin(hint) in (NotRequired, Required):
            needed = get_origin(hint) is Required
            hint = get_args(hint)[0]
        fields[name] = (hint, needed)
    return fields


def check(given: dict[str, Any], where: str) -> dict[str, Any]:
    """The parameters as Python values.

    Raises:
        Problem: the first thing wrong with them.
    """
    checked: dict[str, Any] = _hash(given, declared(where), "")
    return checked


def _hash(given: Any, cls: type, at: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Problem("Invalid hash", param=at)
    fields = _fields(cls)
    for name in given:
        if name not in fields:
            param = _at(at, name)
            raise Problem(
                f"Received unknown parameter: {param}", code="parameter_unknown", param=param
            )
    for name, (_, needed) in fields.items():
        if needed and name not in given:
            param = _at(at, name)
            raise Problem(
                f"Missing required param: {param}.", code="parameter_missing", param=param
            )
    return {name: _value(value, fields[name][0], _at(at, name)) for name, value in given.items()}


def _value(given: Any, hint: Any, at: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _one_of(given, get_args(hint), at)
    if origin is Literal:
        if given not in get_args(hint):
            words = ", ".join(str(one) for one in get_args(hint)[:12])
            raise Problem(f"Invalid {at}: must be one of {words}", param=at)
        return given
    if origin is list:
        if not isinstance(given, dict) or not all(key.isdecimal() for key in given):
            raise Problem("Invalid array", param=at)
        inner = get_args(hint)[0]
        return [_value(given[key], inner, f"{at}[{key}]") for key in sorted(given, key=int)]
    if origin is dict:
        if not isinstance(given, dict):
            raise Problem("Invalid hash", param=at)
        return {key: _value(value, get_args(hint)[1], _at(at, key)) for key, value in given.items()}
    if typing_extensions.is_typeddict(hint):  # of the SDK's kind, which typing's does not know
        return _hash(given, hint, at)
    return _scalar(given, hint, at)


def _one_of(given: Any, hints: Sequence[Any], at: str) -> Any:
    literals = [hint for hint in hints if get_origin(hint) is Literal]
    closed = any(get_args(hint) != ("",) for hint in literals)
    # "One of these words, or a newer one": for us, one of these words.
    hints = [hint for hint in hints if not (closed and hint is str)]
    failure: Problem | None = None
    for hint in hints:
        try:
            return _value(given, hint, at)
        except Problem as problem:
            # The one that got further inside says what is wrong.
            if failure is None or len(problem.error.get("param", "")) > len(at):
                failure = problem
    assert failure is not None
    raise failure


def _scalar(given: Any, hint: Any, at: str) -> Any:
    if not isinstance(given, str):
        raise Problem("Invalid string", param=at)
    if hint is bool:
        if given not in ("true", "false"):
            raise Problem(f"Invalid boolean: {given}", code="parameter_invalid", param=at)
        return given == "true"
    if hint is int:
        if not re.fullmatch(r"-?\d+", given):
            code = "parameter_invalid_integer"
            raise Problem(f"Invalid integer: {given}", code=code, param=at)
        return int(given)
    if given == "" and hint is str:
        raise Problem(
            f"You passed an empty string for '{at}'.", code="parameter_invalid_empty", param=at
        )
    return given


def _at(outer: str, name: str) -> str:
    return f"{outer}[{name}]" if outer else name
