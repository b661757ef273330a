"""Small networks traced as TorchScript, so that a lane computes them without Python.

A pass of a small network is hundreds of short operations. In Python each costs about what it
computes, and holds the interpreter's lock, so that lanes wait for each other and for the threads
that schedule and encode. TorchScript (``torch.jit.trace``, then ``torch.jit.freeze``) computes the
pass outside Python: the same operations in the same order, so the same bits.

A trace has everything that is no tensor built in, so it serves calls of one group
(:attr:`Call.group`) only. It is used only if it gives what the network itself gives, for a batch of
another size and other values, too. Large networks would gain nothing, and an accelerator does not
wait for Python while many rows are computed: neither is traced.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.jit._trace import TracerWarning
from torch.nn.modules.module import _has_any_global_hook
from torch.utils import _pytree as pytree

from models.diffusion.batching.call import Call, join_calls, join_rows

logger = logging.getLogger(__name__)

# Weights of a network that is traced, at most: with more, its operations take longer than Python
# does, and what freezing computes in advance takes memory.
MAX_WEIGHT_BYTES = 64 << 20
# A trace takes as long as some tens of passes, so it pays for what is called again and again.
CALLS_BEFORE_TRACE = 4
MAX_TRACES = 8  # of one network
# Of one network, of which calls are counted: each length of a prompt is a kind, and each size. With
# more, those that were not called for longest are forgotten, with their traces.
MAX_KINDS = 64
# Of the largest value. Oneself computed twice differs by nothing; another order of sums, by less.
TOLERANCE = 1e-5

Trace = Callable[[Sequence[Call]], Any]


@dataclass
class _Kind:
    """Calls that one trace can serve: how many there were, and the trace once there is one."""

    calls: int = 0
    chosen: bool = False  # to have a trace: it is being made, was made, or could not be
    trace: Trace | None = None


class TracedNetworks:
    """The traces of an engine's networks. A network that is unloaded takes its traces with it."""

    def __init__(self, on_traced: Callable[[Call], None]) -> None:
        """``on_traced`` is called with a call of a kind that has a trace now, in another thread."""
        # It says that Python compares shapes. With other shapes the trace is checked.
        warnings.filterwarnings("ignore", category=TracerWarning)
        # docs/decisions/0046: what would take its place needs a compiler, or computes in Python.
        warnings.filterwarnings("ignore", r"`torch\.jit", DeprecationWarning)
        self._on_traced = on_traced
        self._lock = threading.Lock()
        # Those of a network in the order of their last calls.
        self._kinds: WeakKeyDictionary[torch.nn.Module, OrderedDict[Hashable, _Kind]] = (
            WeakKeyDictionary()
        )
        # Traces are made beside the lanes: a request that waited for one would take a second more.
        self._tracer = ThreadPoolExecutor(1, "diffusion-tracer")

    def compute(self, calls: Sequence[Call]) -> Any:
        """Return what the network of ``calls``, which are of one group, returns for all of them.

        A batch of a kind that has a trace is returned as nested tuples and lists of tensors.
        """
        trace = self._trace_of(calls[0])
        # Joined with others, timesteps may be of a type that the trace was not made for.
        if trace is not None and len({_dtypes(call) for call in calls}) == 1:
            return trace(calls)
        arguments, options = join_calls(calls)
        return calls[0].network(*arguments, **options)

    def close(self) -> None:
        """Make no more traces; one that is being made is waited for."""
        self._tracer.shutdown(wait=True, cancel_futures=True)

    def _trace_of(self, call: Call) -> Trace | None:
        """Return the trace for ``call``; have one made when there were enough calls like it."""
        network = call.network
        if call.device.type != "cpu" or not call.batchable:
            return None
        # Whoever watches the modules of all networks, such as a profiler, is to see these.
        if not isinstance(network, torch.nn.Module) or _has_any_global_hook():
            return None
        with self._lock:
            kinds = self._kinds.setdefault(network, OrderedDict())
            key = (call.group, _dtypes(call))
            kind = kinds.setdefault(key, _Kind())
            kinds.move_to_end(key)
            if len(kinds) > MAX_KINDS:
                kinds.popitem(last=False)
            kind.calls += 1
            wanted = kind.calls >= CALLS_BEFORE_TRACE and not kind.chosen
            if wanted:
                wanted = sum(other.chosen for other in kinds.values()) < MAX_TRACES
                kind.chosen = wanted
        if wanted and is_traceable(network):
            self._tracer.submit(self._make, kind, call)
        return kind.trace

    def _make(self, kind: _Kind, call: Call) -> None:
        name = type(call.network).__name__
        try:
            kind.trace = trace_network(call)
        except Exception as error:  # the network itself goes on to compute such calls
            logger.info("%s is not traced: %s", name, str(error).partition("\n")[0])
            return
        logger.debug("%s is traced", name)
        self._on_traced(call)


def is_traceable(network: torch.nn.Module) -> bool:
    """Whether ``network`` has few and plain float32 weights, and nothing happens beside it.

    Hooks fetch weights or keep what was computed; a compiled network is no longer Python. What has
    no weights at all is not a network, but some code, which may do more than compute.
    """
    weights = list(network.parameters())
    size = sum(each.numel() * each.element_size() for each in (*weights, *network.buffers()))
    return (
        len(weights) > 0
        and size <= MAX_WEIGHT_BYTES
        and all(each.dtype == torch.float32 for each in weights)
        and all(type(each) is torch.nn.Parameter for each in weights)
        and not any(_is_watched(module) for module in network.modules())
    )


def _is_watched(module: torch.nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or getattr(module, "_hf_hook", None)
        or getattr(module, "_diffusers_hook", None)
        or module._compiled_call_impl
    )


def trace_network(call: Call) -> Trace:
    """Trace the network of ``call``; the trace computes calls of its kind.

    Raises:
        ValueError: the trace does not give what the network gives.
        Exception: PyTorch cannot trace it.
    """
    leaves, tree = pytree.tree_flatten(_joined([call]))
    flat = _Flat(call.network, leaves, tree).eval()
    with torch.inference_mode():
        traced = torch.jit.trace(flat, _tensors(leaves), check_trace=False)
        frozen = torch.jit.freeze(traced)
        assert flat.result is not None
        returned = flat.result

        for calls in ([call], [call, call]):
            arguments, options = pytree.tree_map_only(torch.Tensor, _vary, _joined(calls))
            expected = pytree.tree_leaves(call.network(*arguments, **options))
            for _ in range(2):  # the second pass is the optimized one
                _check(expected, frozen(*_tensors(pytree.tree_leaves((arguments, options)))))

    def compute(calls: Sequence[Call]) -> Any:
        found = frozen(*_tensors(pytree.tree_leaves(_joined(calls))))
        return pytree.tree_unflatten(list(found), returned)

    return compute


class _Flat(torch.nn.Module):
    """A network as a function of the tensors among its arguments."""

    def __init__(
        self, network: Callable[..., Any], leaves: Sequence[Any], tree: pytree.TreeSpec
    ) -> None:
        super().__init__()
        self.network = network
        self._leaves, self._tree = list(leaves), tree
        self.result: pytree.TreeSpec | None = None  # the form of what the network returned

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = iter(tensors)
        leaves = [next(given) if torch.is_tensor(leaf) else leaf for leaf in self._leaves]
        arguments, options = pytree.tree_unflatten(leaves, self._tree)
        found, self.result = pytree.tree_flatten(self.network(*arguments, **options))
        return tuple(found)


def _tensors(leaves: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    return tuple(leaf for leaf in leaves if torch.is_tensor(leaf))


def _dtypes(call: Call) -> tuple[torch.dtype, ...]:
    """The dtypes of the tensors of ``call``: a group has timesteps of several."""
    leaves = pytree.tree_leaves(_in_order((call.arguments, call.options)))
    return tuple(leaf.dtype for leaf in _tensors(leaves))


def _joined(calls: Sequence[Call]) -> Any:
    """Join the arguments of ``calls``; those of one group have their tensors in one order."""
    return _in_order(join_rows(calls))


def _in_order(value: Any) -> Any:
    """Sort what has names: pipelines name the same arguments in orders of their own."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_in_order(part) for part in value]
    return tuple(_in_order(part) for part in value) if isinstance(value, tuple) else value


def _vary(value: torch.Tensor) -> torch.Tensor:
    """Return other values, and others in each row, so that none of those traced is built in.

    No number is further from 0 than it was: the ids of tokens remain some.
    """
    if value.dim() == 0 or value.dtype == torch.bool:
        return value
    divisors = torch.arange(2, len(value) + 2).reshape(-1, *[1] * (value.dim() - 1))
    return value / divisors if value.is_floating_point() else value // divisors


def _check(expected: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> None:
    for one, other in zip(expected, found, strict=True):
        same = one.shape == other.shape and one.dtype == other.dtype
        # So put that a value that is no number is no difference that is small.
        largest = float(one.abs().max()) if one.numel() else 0.0
        if not (same and _difference(one, other) <= TOLERANCE * largest):
            raise ValueError("its trace computes something else")


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max()) if one.numel() else 0.0
