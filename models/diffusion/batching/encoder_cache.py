"""Cache what pipelines make of their prompts, with the help of encoders: prompts repeat."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image

from models.diffusion.batching.call import tensor_digest

MAX_CACHE_MB = 64


class EncoderCache:
    """An LRU cache of encodings, up to ``max_mb`` MB of the host's memory.

    An encoding is what a pipeline's ``encode_prompt`` makes of the encoder's output: 0.3 MB for
    CLIP, 8 MB for FLUX.2 [klein], whose language model says 250 MB. The device keeps none of it.
    """

    def __init__(self, max_mb: int = MAX_CACHE_MB) -> None:
        self._max_bytes, self._bytes = max_mb * 2**20, 0
        self._kept: OrderedDict[Any, tuple[Any]] = OrderedDict()
        self._lock = threading.Lock()
        # Not id(), because a new encoder may get the id of an evicted one.
        self._numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._next = count()
        self.hits = 0

    def cached(
        self, encoders: Sequence[torch.nn.Module], name: str, encode: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Wrap ``encode``, a method ``name`` by ``encoders``; equal arguments are computed once."""
        with self._lock:
            numbers = [self._numbers.setdefault(one, next(self._next)) for one in encoders]

        def cached_encode(*arguments: Any, **options: Any) -> Any:
            try:
                key = (name, *numbers, _key(arguments), _key(options))
            except TypeError:  # no telling when it would be the same
                return encode(*arguments, **options)
            with self._lock:
                kept = self._kept.get(key)
                if kept is not None:
                    self._kept.move_to_end(key)
                    self.hits += 1
            if kept is not None:
                return _map(kept[0], _Kept, _Kept.back)
            output = encode(*arguments, **options)
            self._keep(key, output)
            return output

        return cached_encode

    def clear(self) -> None:
        """Drop all encodings."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _keep(self, key: Any, output: Any) -> None:
        kept = (_map(output, torch.Tensor, _Kept.of),)
        with self._lock:
            if key not in self._kept:  # another request may have asked meanwhile
                self._bytes += _size(kept)
            self._kept[key] = kept
            while self._bytes > self._max_bytes:
                self._bytes -= _size(self._kept.popitem(last=False)[1])


@dataclass(frozen=True)
class _Kept:
    """A tensor on the host, and the device it belongs to."""

    tensor: torch.Tensor
    device: torch.device

    @classmethod
    def of(cls, tensor: torch.Tensor) -> _Kept:
        return cls(tensor.cpu(), tensor.device)

    def back(self) -> torch.Tensor:
        return self.tensor.to(self.device)


def _map(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Copy nested tuples, lists and dicts, with every ``kind`` in them changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_map(part, kind, change) for part in value)
    if isinstance(value, dict):
        return {name: _map(part, kind, change) for name, part in value.items()}
    return value


def _key(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return (tuple(value.shape), value.dtype, tensor_digest(value))
    if isinstance(value, Image.Image):
        return (value.mode, _key(torch.from_numpy(np.array(value))))
    if isinstance(value, dict):
        return tuple((name, _key(part)) for name, part in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(_key(part) for part in value)
    hash(value)
    return value


def _size(value: Any) -> int:
    if isinstance(value, _Kept):
        return value.tensor.nbytes
    if isinstance(value, dict):
        return sum(_size(part) for part in value.values())
    return sum(_size(part) for part in value) if isinstance(value, (list, tuple)) else 0
