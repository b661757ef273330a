"""Cache encoder outputs: prompts repeat, and negative prompts nearly always do."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import torch

from models.diffusion.batching.call import tensor_digest

MAX_CACHE_MB = 256


class EncoderCache:
    """An LRU cache of encoder outputs by encoder and arguments, up to ``max_mb`` MB.

    It is bounded by size because outputs differ: 0.3 MB for CLIP, 100 MB for a language model with
    all layers.
    """

    def __init__(self, max_mb: int = MAX_CACHE_MB) -> None:
        self._max_bytes, self._bytes = max_mb * 2**20, 0
        self._outputs: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()
        # Not id(), because a new encoder may get the id of an evicted one.
        self._numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._next = count()
        self.hits = 0

    def cached(self, encoder: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap ``forward`` of ``encoder`` so that equal arguments are computed once."""
        with self._lock:
            number = self._numbers.setdefault(encoder, next(self._next))

        def cached_forward(*arguments: Any, **options: Any) -> Any:
            key = (number, _key(arguments), _key(options))
            with self._lock:
                if key in self._outputs:
                    self._outputs.move_to_end(key)
                    self.hits += 1
                    return self._outputs[key]
            output = forward(*arguments, **options)
            with self._lock:
                if key not in self._outputs:
                    self._outputs[key] = output
                    self._bytes += _size(output)
                while self._bytes > self._max_bytes:
                    self._bytes -= _size(self._outputs.popitem(last=False)[1])
            return output

        return cached_forward

    def clear(self) -> None:
        """Drop all outputs."""
        with self._lock:
            self._outputs.clear()
            self._bytes = 0


def _key(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return (tuple(value.shape), value.dtype, tensor_digest(value))
    if isinstance(value, dict):
        return tuple((name, _key(part)) for name, part in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(_key(part) for part in value)
    return value


def _size(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, dict):
        return sum(_size(part) for part in value.values())
    return sum(_size(part) for part in value) if isinstance(value, (list, tuple)) else 0
