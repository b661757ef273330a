"""Remembers what encoders made of their input: prompts repeat, negative prompts nearly always."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import torch

from models.diffusion.engine.calls import digest

MOST_MB = 256


class Embeddings:
    """The newest outputs of encoders, by encoder and arguments, up to ``most_mb`` in all.

    Bounded by size: the answer of CLIP is 0.3 MB, that of a language model with every layer 100.
    """

    def __init__(self, most_mb: int = MOST_MB) -> None:
        self._most, self._bytes = most_mb * 2**20, 0
        self._kept: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()
        # Not by id(): an evicted encoder's may be the next one's.
        self._numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._next = count()
        self.hits, self.misses = 0, 0

    def of(self, encoder: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
        """``forward`` of ``encoder``, computed once for the same arguments."""
        with self._lock:
            number = self._numbers.setdefault(encoder, next(self._next))

        def remembered(*arguments: Any, **options: Any) -> Any:
            key = (number, _key(arguments), _key(options))
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    self.hits += 1
                    return self._kept[key]
                self.misses += 1
            made = forward(*arguments, **options)
            with self._lock:
                if key not in self._kept:
                    self._kept[key] = made
                    self._bytes += _size(made)
                while self._bytes > self._most:
                    self._bytes -= _size(self._kept.popitem(last=False)[1])
            return made

        return remembered

    def clear(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0


def _key(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return (tuple(value.shape), value.dtype, digest(value))
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
