"""Small networks are computed by their traces, which give what the networks give."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from models.diffusion.batching.call import Call
from models.diffusion.batching.traced import (
    CALLS_BEFORE_TRACE,
    MAX_KINDS,
    MAX_WEIGHT_BYTES,
    TracedNetworks,
    is_traceable,
)

PATIENCE_S = 120.0


def unet() -> Any:
    torch.manual_seed(1)
    made = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    return made.eval()


class Weighted(torch.nn.Module):
    """A network of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))


def call_of(network: Any, seed: int, time: Any, rows: int = 2, **options: Any) -> Call:
    """A call as pipelines make it, by a session that waits for nothing."""
    torch.manual_seed(seed)
    latents, prompt = torch.randn(rows, 4, 8, 8), torch.randn(rows, 5, 8)
    given = {"encoder_hidden_states": prompt, "return_dict": False, **options}
    return Call(network, (latents, torch.tensor(time)), given, rows, session=object())


class Traced:
    """The traces, and whether there is one."""

    def __init__(self) -> None:
        self.made = threading.Semaphore(0)
        self.networks = TracedNetworks(lambda _: self.made.release())

    def compute(self, *calls: Call) -> torch.Tensor:
        with torch.inference_mode():
            (result,) = self.networks.compute(calls)
        assert isinstance(result, torch.Tensor)
        return result

    def trace(self, call: Call) -> None:
        """Call until there is a trace for calls like ``call``."""
        for _ in range(CALLS_BEFORE_TRACE):
            self.compute(call)
        assert self.made.acquire(timeout=PATIENCE_S)

    def is_used(self, call: Call) -> bool:
        """Whether the network itself is not called for ``call``."""
        reached = []
        watch = call.network.register_forward_hook(lambda *_: reached.append(True))  # type: ignore[attr-defined]
        try:
            self.compute(call)
        finally:
            watch.remove()
        return not reached


@pytest.fixture
def traced() -> Any:
    made = Traced()
    yield made
    made.networks.close()


def expected(network: Any, *calls: Call) -> torch.Tensor:
    """What the network itself returns for all of ``calls``."""
    with torch.inference_mode():
        times = [call.arguments[1].reshape(1).expand(call.rows).float() for call in calls]
        (found,) = network(
            torch.cat([call.arguments[0] for call in calls]),
            torch.cat(times),
            torch.cat([call.options["encoder_hidden_states"] for call in calls]),
            return_dict=False,
        )
    assert isinstance(found, torch.Tensor)
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_trace_gives_the_same_bits_for_any_number_of_calls(traced: Traced, count: int) -> None:
    network = unet()
    traced.trace(call_of(network, 1, 7))
    assert traced.is_used(call_of(network, 1, 7))
    calls = [call_of(network, seed, 10 * seed) for seed in range(2, 2 + count)]
    assert torch.equal(traced.compute(*calls), expected(network, *calls))


def test_timesteps_of_another_type_have_a_trace_of_their_own(traced: Traced) -> None:
    network = unet()
    traced.trace(call_of(network, 1, 7))
    between = call_of(network, 1, 6.5)
    assert not traced.is_used(between)
    assert torch.equal(traced.compute(between), expected(network, between))


def test_a_trace_serves_only_calls_with_the_same_options(traced: Traced) -> None:
    class Scaled(Weighted):
        def forward(self, x: torch.Tensor, time: torch.Tensor, scale: float, **_: Any) -> Any:
            return (self.weight * x * scale + time.reshape(-1, 1, 1, 1),)

    network = Scaled()
    traced.trace(call_of(network, 1, 7, scale=2.0))
    other = call_of(network, 1, 7, scale=3.0)
    assert not traced.is_used(other)
    assert torch.equal(traced.compute(other), 3.0 * other.arguments[0] + 7)


def test_a_network_that_decides_by_values_goes_on_in_python() -> None:
    """Its trace would have one of its ways built in."""

    class Deciding(Weighted):
        def forward(self, x: torch.Tensor, time: torch.Tensor, **_: Any) -> Any:
            return (self.weight * x + 1 if float(time.max()) > 500 else self.weight * x,)

    traced, network = Traced(), Deciding()
    for _ in range(2 * CALLS_BEFORE_TRACE):
        traced.compute(call_of(network, 1, 900.0))
    traced.networks.close()  # waits for what was begun
    assert not traced.made.acquire(blocking=False)
    late = call_of(network, 1, 100.0)
    assert torch.equal(traced.compute(late), late.arguments[0])


def test_a_network_is_unloaded_with_its_traces(traced: Traced) -> None:
    network = unet()
    traced.trace(call_of(network, 1, 7))
    gone = weakref.ref(network)
    del network
    # The thread that made the trace still holds its last task until it is given another.
    traced.networks._tracer.submit(lambda: None).result(PATIENCE_S)
    gc.collect()
    assert gone() is None


def test_what_is_not_traced() -> None:
    assert is_traceable(unet())
    half = unet().half()
    watched, compiled = unet(), unet()
    watched.mid_block.register_forward_pre_hook(lambda *_: None)
    compiled.compile()
    side = int((MAX_WEIGHT_BYTES // 4) ** 0.5) + 1
    large, code = torch.nn.Linear(side, side), torch.nn.Module()
    assert not any(is_traceable(network) for network in (half, watched, compiled, large, code))


def test_arguments_in_another_order_are_the_same_arguments(traced: Traced) -> None:
    """Pipelines name a network's arguments in orders of their own; the group is one."""

    class Guided(Weighted):
        def forward(
            self, x: torch.Tensor, time: torch.Tensor, first: torch.Tensor,
            second: torch.Tensor, **_: Any,
        ) -> Any:  # fmt: skip
            return (self.weight * x * first.reshape(-1, 1, 1, 1) + second.reshape(-1, 1, 1, 1),)

    network = Guided()
    one = {"first": torch.tensor(2.0), "second": torch.tensor(3.0)}
    traced.trace(call_of(network, 1, 7, **one))
    other = call_of(network, 1, 7, **dict(reversed(one.items())))
    assert traced.is_used(other)
    assert torch.equal(traced.compute(other), 2.0 * other.arguments[0] + 3.0)


class OneRowForAll(Weighted):
    """Its trace has the number of rows built in: the first ones stand for all."""

    def forward(self, x: torch.Tensor, time: torch.Tensor, **_: Any) -> Any:
        rows = [self.weight * x[number] for number in range(len(x))]
        return (torch.stack(rows),)


class FirstHalfAgain(Weighted):
    """Its trace computes the rows that it was made of, and repeats them for all."""

    def forward(self, x: torch.Tensor, time: torch.Tensor, **_: Any) -> Any:
        if len(x) == 2:
            return (torch.cat([x[:2], x[:2]])[: x.shape[0]] * self.weight,)
        return (x * self.weight,)


@pytest.mark.parametrize("network", [OneRowForAll(), FirstHalfAgain()], ids=["shape", "rows"])
@pytest.mark.parametrize("rows", [1, 2])
def test_a_trace_of_some_rows_only_is_not_used(network: Any, rows: int) -> None:
    traced = Traced()
    for seed in range(2 * CALLS_BEFORE_TRACE):
        traced.compute(call_of(network, seed, 7, rows))
    traced.networks.close()
    calls = [call_of(network, seed, 7, rows) for seed in (1, 2)]
    expected = torch.cat([call.arguments[0] for call in calls])
    assert torch.equal(traced.compute(*calls), expected)


def test_a_trace_that_gives_no_number_is_not_used() -> None:
    class Dividing(Weighted):
        """Where Python decides, its trace divides by nothing."""

        def forward(self, x: torch.Tensor, time: torch.Tensor, **_: Any) -> Any:
            if bool(time.max() < 6.9):
                return (x * self.weight,)
            above = (time - time.clamp(max=6.9)).reshape(-1, 1, 1, 1)
            return (x * self.weight * above / above,)

    traced, network = Traced(), Dividing()
    for _ in range(2 * CALLS_BEFORE_TRACE):
        traced.compute(call_of(network, 1, 7.0))
    traced.networks.close()
    assert not traced.made.acquire(blocking=False)


def test_what_is_known_of_kinds_of_calls_is_bounded(traced: Traced) -> None:
    """Each length of a prompt is a kind of its own: there is no end of them."""
    network = unet()
    traced.trace(call_of(network, 1, 7))
    for number in range(2 * MAX_KINDS):
        traced.networks._trace_of(call_of(network, 1, 7, rows=2, anything=number))
    assert len(traced.networks._kinds[network]) <= MAX_KINDS
    traced.trace(call_of(network, 1, 7))  # the rare ones take no trace's place for good
    assert traced.is_used(call_of(network, 1, 7))


def test_calls_with_timesteps_of_two_types_are_computed_by_the_network(traced: Traced) -> None:
    network = unet()
    traced.trace(call_of(network, 1, 7))
    calls = [call_of(network, 1, 7), call_of(network, 2, 6.5)]
    assert torch.equal(traced.compute(*calls), expected(network, *calls))
    reached: list[bool] = []
    watch = network.register_forward_hook(lambda *_: reached.append(True))
    traced.compute(*calls)
    watch.remove()
    assert reached


def test_who_watches_all_modules_sees_a_traced_network(traced: Traced) -> None:
    network, seen = unet(), []
    traced.trace(call_of(network, 1, 7))
    watch = torch.nn.modules.module.register_module_forward_hook(
        lambda module, *_: seen.append(module)
    )
    try:
        traced.compute(call_of(network, 1, 7))
    finally:
        watch.remove()
    assert network in seen
