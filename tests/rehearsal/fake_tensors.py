"""Tensors without data, on a card that is not there; what is alive on it is counted.

PyTorch's fake tensors have a shape, a dtype and a device. Here small ones also carry their value,
on the CPU, as long as it follows from other values: token ids, masks, timesteps and positions do,
and what networks compute does not. So schedulers and masks behave as on a card, and only a value
that depends on weights is made up.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

MAX_VALUES = 16384  # elements; larger tensors carry no value
MAX_MASK = 2**23  # of a mask, which decides on shapes
_BLOCK = 512  # bytes: PyTorch's allocator gives out multiples of it

aten = torch.ops.aten
_SCALAR = aten._local_scalar_dense.default
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_RANDOM = torch.Tag.nondeterministic_seeded
_SHAPE_FROM_VALUES = (
    aten.nonzero.default,
    aten.masked_select.default,
    aten.repeat_interleave.Tensor,
    aten._unique2.default,
    aten.unique_consecutive.default,
)  # fmt: skip


class FakeMode(FakeTensorMode):
    """One mode for all threads: what a thread is doing at the moment is kept for each."""

    def __init__(self) -> None:
        self._here = threading.local()
        super().__init__(allow_non_fake_inputs=True)

    @property
    def in_kernel_invocation(self) -> bool:
        return getattr(self._here, "inside", False)

    @in_kernel_invocation.setter
    def in_kernel_invocation(self, inside: bool) -> None:
        self._here.inside = inside

    @property
    def enter_stack(self) -> list[Any]:
        if not hasattr(self._here, "stack"):
            self._here.stack = []
        return self._here.stack

    @enter_stack.setter
    def enter_stack(self, stack: list[Any]) -> None:
        self._here.stack = stack

    @property
    def avoid_device_init(self) -> bool:
        return True  # there is no driver, whatever torch.cuda.is_available says


class MemoryCounter:
    """Bytes of the storages that are alive on the card, and the most there were.

    ``limit`` is what this process may take; beyond it an allocation fails as on a card.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.now = self.peak = 0
        self.out_of_memory = 0  # how often an allocation failed
        self._sizes: dict[int, int] = {}
        self.lock = threading.RLock()

    def count(self, tensor: torch.Tensor) -> None:
        if tensor.fake_device.type != "cuda":  # type: ignore[attr-defined]
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        size = -(-storage.nbytes() // _BLOCK) * _BLOCK
        self.reach(size)
        self._sizes[key] = size
        self.now += size
        weakref.finalize(storage, self._free, key)

    def reach(self, more: int) -> None:
        """Note that ``more`` bytes beside those that are there were in use for a moment."""
        if self.now + more > self.limit:
            self.out_of_memory += 1
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {more / 2**20:.2f} MiB."
                f" {self.now / 2**20:.2f} MiB of {self.limit / 2**20:.2f} MiB are in use."
            )
        self.peak = max(self.peak, self.now + more)

    def _free(self, key: int) -> None:
        with self.lock:
            self.now -= self._sizes.pop(key, 0)


class CountingMode(TorchDispatchMode):
    """Counts what each operation allocates, and computes small values beside the fake tensors."""

    def __init__(self, counter: MemoryCounter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default:
            return func(*args)
        if torch.is_inference_mode_enabled() and _is_composite(func):
            # Elsewhere autograd has split it by now. Each part is counted.
            with self:
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        with self._counter.lock:
            if func is _SCALAR:
                return scalar(args[0])
            if func in _SHAPE_FROM_VALUES or func is aten.index.Tensor:
                args = _with_known_shapes(func, args)
                if func in _SHAPE_FROM_VALUES:
                    return self._computed(func, args, kwargs)
            out = func(*args, **kwargs)
            self._count(out)
            if _follows_from_values(func, args, kwargs):
                _compute_value(func, args, kwargs, out)
            elif isinstance(out, FakeTensor) and args and out is args[0]:
                out._value = None  # changed in place by something unknown
            return out

    def _count(self, out: Any) -> None:
        if isinstance(out, FakeTensor):
            self._counter.count(out)
        elif isinstance(out, (tuple, list)):
            tree_map_only(FakeTensor, self._counter.count, out)

    def _computed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operation whose result's shape depends on values: computed, then made fake."""
        device = args[0].device
        with unset_fake_temporarily():
            real = func(*tree_map_only(FakeTensor, value_of, args), **kwargs)

        def fake(tensor: torch.Tensor) -> Any:
            made = torch.empty_strided(
                tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device
            )
            made._value = tensor  # type: ignore[attr-defined]
            self._count(made)
            return made

        return tree_map_only(torch.Tensor, fake, real)


@functools.cache
def _is_composite(func: Any) -> bool:
    """Whether PyTorch's C++ code computes ``func`` by other operations, on every device."""
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE))


def value_of(tensor: torch.Tensor) -> torch.Tensor:
    """The value of ``tensor``; ones where none is known."""
    value = getattr(tensor, "_value", None)
    if value is None:
        with unset_fake_temporarily():
            return torch.ones(tuple(tensor.shape), dtype=tensor.dtype)
    return value


def scalar(tensor: Any) -> Any:
    value = getattr(tensor, "_value", None)
    if value is None and not isinstance(tensor, FakeTensor):
        value = tensor
    if value is not None:
        with unset_fake_temporarily():
            return value.item()
    return True if tensor.dtype is torch.bool else 1.0 if tensor.dtype.is_floating_point else 0


def _with_known_shapes(func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Turn masks that index into positions, whose number is known."""
    if func is not aten.index.Tensor:
        return args
    indices: list[Any] = []
    for index in args[1]:
        if index is None or index.dtype not in (torch.bool, torch.uint8):
            indices.append(index)
            continue
        with unset_fake_temporarily():
            positions = list(value_of(index).nonzero().unbind(1))
        for column in positions:
            fake = torch.empty(column.shape, dtype=torch.long, device=index.device)
            fake._value = column  # type: ignore[attr-defined]
            indices.append(fake)
    return (args[0], indices)


def _follows_from_values(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    for argument in args:
        if isinstance(argument, FakeTensor) and getattr(argument, "_value", None) is None:
            return False
    if _RANDOM in func.tags:
        return False
    for argument in tree_flatten((args, kwargs))[0]:
        if isinstance(argument, FakeTensor) and getattr(argument, "_value", None) is None:
            return False
    return True


def _compute_value(func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
    """Compute on the CPU what the fake tensors in ``out`` would hold, where it is small."""
    made = [part for part in tree_flatten(out)[0] if isinstance(part, FakeTensor)]
    if not made or any(_is_large(part) for part in made):
        for part in made:
            part._value = None
        return
    changes = func._schema.is_mutable
    with unset_fake_temporarily():
        args, kwargs = tree_map_only(FakeTensor, value_of, (args, kwargs))
        cpu = torch.device("cpu")
        args, kwargs = tree_map_only(torch.device, lambda _: cpu, (args, kwargs))
        kwargs.pop("pin_memory", None)
        if func in (aten.empty.memory_format, aten.empty_strided.default, aten.new_empty.default):
            real = func(*args, **kwargs).zero_()
        else:
            real = func(*args, **kwargs)
    if changes and isinstance(out, FakeTensor) and getattr(out, "_value", None) is not None:
        return  # the value was changed in place
    for part, value in zip(
        made, (v for v in tree_flatten(real)[0] if isinstance(v, torch.Tensor)), strict=True
    ):
        part._value = value


def _is_large(tensor: Any) -> bool:
    return bool(tensor.numel() > (MAX_MASK if tensor.dtype is torch.bool else MAX_VALUES))


def _numpy(self: Any, *, force: bool = False) -> Any:
    with unset_fake_temporarily():
        value = getattr(self, "_value", None)
        if value is not None:
            return value.numpy(force=force)
        empty = torch.empty(0, dtype=self.dtype).numpy()
        return np.zeros(tuple(self.shape), empty.dtype)


def _set_data(self: Any, new: Any) -> None:
    torch.Tensor.data.__set__(self, new)  # type: ignore[attr-defined]
    self.fake_device, self._value = new.fake_device, getattr(new, "_value", None)


def _tolist(self: Any) -> Any:
    with unset_fake_temporarily():
        return value_of(self).tolist()


def _deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    if id(self) not in memo:
        copied = self.detach().clone()
        parameter = isinstance(self, torch.nn.Parameter)
        memo[id(self)] = torch.nn.Parameter(copied, self.requires_grad) if parameter else copied
    return memo[id(self)]


_new = FakeTensor.__new__


def _made(cls: Any, *arguments: Any, **options: Any) -> Any:
    """A fake tensor of another one, as accelerate makes a parameter of a parameter's class."""
    if len(arguments) == 1:
        return torch.nn.Parameter(arguments[0].clone(), options.get("requires_grad", False))
    return _new(cls, *arguments, **options)


def _unchanged(self: Any, *_: Any, **__: Any) -> Any:
    return self


# What a fake tensor cannot do by itself.
METHODS: dict[str, Any] = {
    "_value": None,
    "numpy": _numpy,
    "tolist": _tolist,
    "data": property(lambda self: self.detach(), _set_data),
    "__deepcopy__": _deepcopy,
    "__new__": staticmethod(_made),
    "__init__": lambda self, *_, **__: None,
    "pin_memory": _unchanged,
    "is_pinned": lambda self, *_: False,
    "record_stream": lambda self, *_: None,
    "__array__": lambda self, dtype=None, copy=None: np.asarray(_numpy(self), dtype),
}


def apply(module: Any, function: Callable[[Any], Any], recurse: bool = True) -> Any:
    """``Module._apply`` that keeps parameters the objects they are, as on a card."""
    if recurse:
        for child in module.children():
            apply(child, function, recurse)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                moved = function(parameter)
            if isinstance(parameter, FakeTensor):
                parameter.data = moved
            else:
                module._parameters[name] = torch.nn.Parameter(moved, requires_grad=False)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = function(buffer)
    return module


def attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """The memory of PyTorch's fused attention: the result, and no matrix of scores.

    Without a card PyTorch takes its plain kernel, which no card of today does for these calls.
    """
    given = [query, key, value] + ([attn_mask] if isinstance(attn_mask, torch.Tensor) else [])
    if len({tensor.device for tensor in given}) > 1:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found"
            f" {', '.join(sorted({str(tensor.device) for tensor in given}))}"
        )
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got"
            f" {query.dtype}, {key.dtype} and {value.dtype}"
        )
    if attn_mask is not None and attn_mask.dtype not in (torch.bool, query.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or to match query dtype, but got"
            f" {attn_mask.dtype} and {query.dtype}"
        )
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise RuntimeError(f"attention of {query.shape}, {key.shape} and {value.shape}")
    if attn_mask is not None:
        torch.broadcast_shapes(attn_mask.shape, (*query.shape[:-1], key.shape[-2]))
    *outer, heads, length, _ = query.shape
    return query.new_empty(*outer, length, heads, value.shape[-1]).transpose(-2, -3)


_tensor = torch.tensor


def tensor(data: Any, *arguments: Any, **options: Any) -> Any:
    """``torch.tensor``, whose data may hold fake scalars."""

    def plain(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [plain(part) for part in value]
        return scalar(value) if isinstance(value, FakeTensor) and value.dim() == 0 else value

    # Made on the CPU: PyTorch would copy it to the card before it becomes a fake one. The constant
    # that PyTorch remembers would be copied, too.
    device = options.pop("device", None)
    made = _tensor(plain(data), *arguments, **options)
    if isinstance(made, FakeTensor):
        made.constant = None
    return made if device is None else made.to(device)
