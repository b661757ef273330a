"""Network calls that wait for the engine, and how several are joined into one batch.

Arguments are walked as nested tuples, lists and dicts. A tensor whose first dimension is the call's
rows is concatenated; a scalar tensor (a timestep) is expanded to the rows. Every other value must
be equal for all calls of a batch and is part of the group's key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from threading import Event
from typing import Any

import torch

# Position ids of FLUX-class transformers: (tokens, 3), the same for every request of a size. They
# are compared by content: 512x1024 and 1024x512 have equally many tokens at other positions.
SHARED_ARGUMENTS = frozenset({"txt_ids", "img_ids", "image_rotary_emb"})
_UNBATCHED = "alone"


class _NotBatchable(Exception):
    """An argument has neither one row a picture nor a hashable value."""


class _Rows:
    """Stands for a batched tensor in a group's key."""

    def __init__(self, tensor: torch.Tensor, spread: bool) -> None:
        # Timesteps are integers in some schedulers and floats in others; networks embed floats.
        self._key = (
            ("time", tensor.device)
            if spread
            else (tuple(tensor.shape[1:]), tensor.dtype, tensor.device)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rows) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@dataclass(eq=False)
class Call:
    """A request's call of ``network``; the request's thread waits for the result.

    ``rows`` is the batch size of the call. ``steps_left`` is the number of calls its request will
    still make, this one included. ``skipped`` counts how often other calls of its group were
    computed first. ``may_share_batch`` allows batching with other calls. ``expects_next_call``
    means that the request will soon submit its next call. ``flow`` is whose work it is: flows get
    equal parts of the device. ``label`` is what statistics count it under.
    """

    network: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    rows: int
    session: object
    priority: int = 0
    steps_left: int = 1
    may_share_batch: bool = True
    expects_next_call: bool = True
    flow: str = ""
    label: str = ""
    sequence: int = 0
    skipped: int = 0
    result: Any = None
    error: BaseException | None = None
    done: Event = field(default_factory=Event)

    @cached_property
    def group(self) -> tuple[Any, ...]:
        """The key of calls that are scheduled together, and share a batch if ``batchable``."""
        identity = _identity(self.network)
        if not self.may_share_batch:
            return (identity, _UNBATCHED)
        try:
            return (identity, _batch_key((self.arguments, self.options), self.rows, ""))
        except _NotBatchable:
            return (identity, _UNBATCHED)

    @cached_property
    def cost_key(self) -> tuple[Any, ...]:
        """The key of calls whose rows cost the same: of one network, at one size of latents.

        The latents are the first tensor of every network's arguments. How long the prompt is, which
        some networks do not pad, decides on the group and hardly on the cost.
        """
        latents = _first_rows(self.arguments, self.options)
        described = () if latents is None else (latents.shape[1:], latents.dtype, latents.device)
        return (_identity(self.network), *described)

    @cached_property
    def device(self) -> torch.device:
        """The device of the first tensor among the arguments; the CPU if there is none."""
        values = (*self.arguments, *self.options.values())
        tensors = [value for value in values if torch.is_tensor(value)]
        return tensors[0].device if tensors else torch.device("cpu")

    @property
    def batchable(self) -> bool:
        """Whether the call can be batched with others of its group."""
        return self.group[1] != _UNBATCHED

    def fail(self, error: BaseException) -> None:
        """Wake the request's thread with ``error``."""
        self.error = error
        self.done.set()


def _identity(network: Callable[..., Any]) -> tuple[int, str]:
    # A bound method is a new object at each lookup, so the identity is that of its instance.
    return (id(getattr(network, "__self__", network)), getattr(network, "__name__", ""))


def count_rows(arguments: Sequence[Any], options: dict[str, Any]) -> int:
    """Return the batch size of a call: the first dimension of its first non-scalar tensor."""
    first = _first_rows(arguments, options)
    return 1 if first is None else len(first)


def _first_rows(arguments: Sequence[Any], options: dict[str, Any]) -> torch.Tensor | None:
    for value in [*arguments, *options.values()]:
        if isinstance(value, torch.Tensor) and value.dim() > 1:
            return value
    return None


def _batch_key(value: Any, rows: int, name: str) -> Any:
    """Return a hashable key of ``value`` that must be equal for two calls to share a batch."""
    if isinstance(value, torch.Tensor):
        if name in SHARED_ARGUMENTS:
            return (tuple(value.shape), value.dtype, value.device, _cached_digest(value))
        if value.dim() == 0 or len(value) == 1 == value.dim():
            return _Rows(value, spread=True)
        if len(value) != rows:
            raise _NotBatchable
        return _Rows(value, spread=False)
    if isinstance(value, dict):
        return tuple((key, _batch_key(part, rows, key)) for key, part in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *(_batch_key(part, rows, name) for part in value))
    try:
        hash(value)
    except TypeError:
        raise _NotBatchable from None
    return value


def tensor_digest(tensor: torch.Tensor) -> bytes:
    """Hash the content of ``tensor``, of any shape and dtype and on any device: 16 bytes."""
    content = tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data
    return blake2b(content, digest_size=16).digest()


def _cached_digest(tensor: torch.Tensor) -> bytes:
    # A pipeline passes the same object at every step, so it is read back from the device once.
    digest: bytes | None = tensor.__dict__.get("_digest")
    if digest is None:
        digest = tensor.__dict__["_digest"] = tensor_digest(tensor)
    return digest


def _join_values(values: Sequence[Any], rows: Sequence[int], name: str) -> Any:
    first = values[0]
    if isinstance(first, torch.Tensor):
        if name in SHARED_ARGUMENTS:
            return first
        if first.dim() == 0 or len(first) == 1 == first.dim():
            expanded = [value.reshape(1).expand(n) for value, n in zip(values, rows, strict=True)]
            dtypes = {value.dtype for value in values}
            return torch.cat(
                expanded if len(dtypes) == 1 else [value.float() for value in expanded]
            )
        return torch.cat(list(values)) if len(first) == rows[0] else first
    if isinstance(first, dict):
        return {key: _join_values([value[key] for value in values], rows, key) for key in first}
    if isinstance(first, (list, tuple)):
        parts = [_join_values(part, rows, name) for part in zip(*values, strict=True)]
        return parts if isinstance(first, list) else tuple(parts)
    return first


def join_calls(calls: Sequence[Call]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Join the arguments of ``calls``, all of one group; a single call is returned unchanged."""
    if len(calls) == 1:
        return calls[0].arguments, calls[0].options
    return join_rows(calls)


def join_rows(calls: Sequence[Call]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Join the arguments of ``calls``; those of a single call get the form that those of many have:
    a scalar tensor is expanded to the rows."""
    rows = [call.rows for call in calls]
    arguments = _join_values([call.arguments for call in calls], rows, "")
    return arguments, _join_values([call.options for call in calls], rows, "")


def split_result(result: Any, rows: Sequence[int]) -> list[Any]:
    """Split a batched result into each call's rows.

    ``result`` is a tensor (sum of ``rows``, ...), or a tuple, list or dict of such tensors.
    """
    if isinstance(result, torch.Tensor):
        return list(result.split(list(rows)))
    if isinstance(result, dict):  # diffusers' and transformers' outputs are ordered dicts
        parts = {key: split_result(value, rows) for key, value in result.items()}
        return [
            type(result)(**{key: part[index] for key, part in parts.items()})
            for index in range(len(rows))
        ]
    if isinstance(result, (list, tuple)):
        columns = [split_result(part, rows) for part in result]
        return [type(result)(column[index] for column in columns) for index in range(len(rows))]
    if result is None:
        return [None] * len(rows)
    raise TypeError(f"a batch returned a {type(result).__name__}, which has no rows to split")
