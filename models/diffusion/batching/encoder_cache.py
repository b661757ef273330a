"""Remembers what encoders made of their input: prompts repeat, negative prompts nearly always."""

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
    """The newest outputs of encoders, by encoder and arguments, up to ``max_mb`` in all.

    Bounded by size: the answer of CLIP is 0.3 MB, that of a language model with every layer 100.
    """

    def __init__(self, max_mb: int = MAX_CACHE_MB) -> None:
        self._max_bytes, self._bytes = max_mb * 2**20, 0
        self._outputs: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()
        # Not by id(): an evicted encoder's may be the next one's.
        self._numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._next = count()
        self.hits = 0

    def cached(self, encoder: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
        """``forward`` of ``encoder``, computed once for the same arguments."""
        with self._lock:
            number = self._numbers.setdefault(encoder, next(self._next))

        def remembered(*arguments: Any, **options: Any) -> Any:
            key = (number, _key(arguments), _key(options))
            with self._lock:
                if key in self._outputs:
                    self._outputs.move_to_end(key)
                    self.hits += 1
                    return self._outputs[key]
            made = forward(*arguments, **options)
            with self._lock:
                if key not in self._outputs:
                    self._outputs[key] = made
                    self._bytes += _size(made)
                while self._bytes > self._max_bytes:
                    self._bytes -= _size(self._outputs.popitem(last=False)[1])
            return made

        return remembered

    def clear(self) -> None:
        """Give the memory back."""
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
