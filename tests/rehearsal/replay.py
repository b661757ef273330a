"""Networks that are called again with the same shapes: run once, and replayed from then on.

A decoder that works tile by tile and frame by frame is called a thousand times for one film, with
two or three different shapes. What it allocates depends on shapes alone, so that further calls make
the same results and the same peak, and take milliseconds.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

import torch
from diffusers.utils import BaseOutput
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from tests.rehearsal.fake_tensors import MemoryCounter


@contextlib.contextmanager
def replayed(memory: MemoryCounter) -> Iterator[None]:
    """Inside, networks that work in pieces are replayed."""
    from diffusers.models.autoencoders import autoencoder_kl_qwenimage, autoencoder_kl_wan
    from diffusers.pipelines.shap_e.renderer import MLPNeRSTFModel
    from transformers import Swin2SRForImageSuperResolution

    kinds: tuple[Any, ...] = (
        autoencoder_kl_wan.WanEncoder3d,
        autoencoder_kl_wan.WanDecoder3d,
        autoencoder_kl_qwenimage.QwenImageEncoder3d,
        autoencoder_kl_qwenimage.QwenImageDecoder3d,
        MLPNeRSTFModel,
        Swin2SRForImageSuperResolution,
    )
    with ExitStack() as stack:
        for kind in kinds:
            forward = _Replay(memory).around(kind.forward)
            stack.enter_context(patch.object(kind, "forward", forward))
        yield


@dataclass(frozen=True)
class _Shape:
    """A tensor by its place in one of the storages of a call's results."""

    storage: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int = 0


@dataclass
class _Call:
    """What a call made: its peak above the bytes that were there, and its results.

    ``results`` are leaves of ``spec``, ``changed`` the new elements of lists it was given, by the
    number of the list and their place in it. Of an ``output`` they are its fields.
    """

    peak: int
    spec: TreeSpec
    output: type[BaseOutput] | None = None
    results: list[Any] = field(default_factory=list)
    changed: dict[tuple[int, int], Any] = field(default_factory=dict)
    storages: list[tuple[_Shape, torch.dtype, torch.device]] = field(default_factory=list)


class _Replay:
    def __init__(self, memory: MemoryCounter) -> None:
        self._memory = memory
        self._known: WeakKeyDictionary[torch.nn.Module, dict[Hashable, _Call]] = WeakKeyDictionary()

    def around(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def called(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            given, spec = tree_flatten((args, kwargs))
            key = (str(spec), *map(_described, given))
            calls = self._known.setdefault(module, {})
            lists = [value for value in (*args, *kwargs.values()) if isinstance(value, list)]
            if (call := calls.get(key)) is not None:
                return self._repeat(call, lists)
            before = [list(values) for values in lists]
            result, peak = self._run(forward, module, args, kwargs)
            calls[key] = _recorded(peak, result, lists, before)
            return result

        return called

    def _run(
        self, forward: Callable[..., Any], module: torch.nn.Module, args: Any, kwargs: Any
    ) -> tuple[Any, int]:
        memory = self._memory
        start, highest = memory.now, memory.peak
        memory.peak = start
        try:
            result = forward(module, *args, **kwargs)
            return result, memory.peak - start
        finally:
            memory.peak = max(memory.peak, highest)

    def _repeat(self, call: _Call, lists: list[list[Any]]) -> Any:
        self._memory.reach(call.peak)
        storages = [
            torch.empty_strided(whole.size, whole.stride, dtype=dtype, device=device)
            for whole, dtype, device in call.storages
        ]
        for (number, place), value in call.changed.items():
            lists[number][place] = _made(value, storages)
        made = tree_unflatten([_made(value, storages) for value in call.results], call.spec)
        return made if call.output is None else call.output(**made)


def _recorded(peak: int, result: Any, lists: list[list[Any]], before: list[list[Any]]) -> _Call:
    output = type(result) if isinstance(result, BaseOutput) else None
    if output is not None:  # as a tree, it would lack the fields that are None
        result = {one.name: getattr(result, one.name) for one in fields(result)}
    leaves, spec = tree_flatten(result)
    call, known = _Call(peak, spec, output), dict[int, int]()

    def shape(value: Any) -> Any:
        if not isinstance(value, FakeTensor):
            return value
        storage = value.untyped_storage()
        number = known.setdefault(storage._cdata, len(call.storages))
        made = _Shape(number, tuple(value.shape), value.stride(), value.storage_offset())
        if number == len(call.storages):
            whole, length = made, storage.nbytes() // value.dtype.itemsize
            if value.numel() != length:
                whole = _Shape(number, (length,), (1,))
            call.storages.append((whole, value.dtype, value.device))
        return made

    call.results = [shape(leaf) for leaf in leaves]
    for number, (old, new) in enumerate(zip(before, lists, strict=True)):
        for place, value in enumerate(new):
            if value is not old[place]:
                call.changed[number, place] = shape(value)
    return call


def _described(value: Any) -> Hashable:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.stride(), value.dtype, str(value.device)
    return type(value), value


def _made(value: Any, storages: list[torch.Tensor]) -> Any:
    if not isinstance(value, _Shape):
        return value
    whole = storages[value.storage]
    if whole.shape == value.size and whole.stride() == value.stride:
        return whole
    return whole.as_strided(value.size, value.stride, value.offset)
