"""The thread that computes: what fails, what is cancelled, whose turn it is, what is left behind.

On a toy network, so that hundreds of requests take seconds; ``test_pictures.py`` has real ones.
"""

import gc
import logging
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import torch

from models.diffusion.batching import Engine, SessionCanceled
from models.diffusion.batching import engine as engine_module
from models.diffusion.batching.call import Call
from models.diffusion.batching.encoder_cache import EncoderCache
from models.diffusion.batching.engine import EngineClosed
from models.diffusion.batching.fair_queue import MAX_SKIPPED
from models.diffusion.batching.session import PipelineSession, open_session
from tests.support.toy_pipeline import Toy, held, toy, until

MB = 2**20
POISON = 13.0


class Asking:
    """Asks ``engine`` from threads of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.pool = ThreadPoolExecutor(32)
        self.embeddings = EncoderCache()

    def now(self, template: Toy, mark: float, steps: int = 3, **more: Any) -> list[float]:
        on_seat: Callable[[PipelineSession], None] = more.pop("on_seat", lambda _: None)
        on_step = more.pop("on_step", lambda _: None)
        with open_session(self.engine, template, self.embeddings, calls=steps, **more) as loaded:
            on_seat(loaded)
            result: list[float] = loaded.pipeline(mark, steps, on_step)
            return result

    def soon(self, *arguments: Any, **more: Any) -> "Future[list[float]]":
        return self.pool.submit(self.now, *arguments, **more)

    def together(self, *asked: Callable[[], "Future[list[float]]"]) -> "list[Future[list[float]]]":
        """Ask one after the other while the engine is held, so that all are in its queue."""
        futures = []
        with held(self.engine):
            for ask in asked:
                before = self.engine.waiting
                futures.append(ask())
                until(lambda before=before: self.engine.waiting > before)
        return futures


@pytest.fixture
def asking() -> Iterator[Asking]:
    asking = Asking(Engine(calibrate=False))
    yield asking
    asking.engine.close()
    asking.pool.shutdown()


def alone(mark: float, steps: int = 3) -> list[float]:
    return toy()(mark, steps)


def test_each_gets_what_it_gets_alone_and_they_are_computed_together(asking: Asking) -> None:
    template = toy()
    steps = {1.0: 3, 2.0: 5, 3.0: 1, 4.0: 4}
    futures = asking.together(
        *(lambda mark=mark: asking.soon(template, mark, steps[mark]) for mark in steps)
    )
    for mark, future in zip(steps, futures, strict=True):
        assert future.result(120) == pytest.approx(alone(mark, steps[mark]))
    assert sorted(template.unet.batches[0]) == [1.0, 2.0, 3.0, 4.0]
    assert asking.engine.stats.rows == 13 + 1  # and the one that held it


def test_no_pass_is_made_to_learn_what_rows_cost() -> None:
    asking, template = Asking(Engine(max_rows=8)), toy()
    for mark in (1.0, 2.0):
        assert asking.now(template, mark, 4) == pytest.approx(alone(mark, 4))
    assert [len(rows) for rows in template.unet.batches] == [1] * 8
    assert [list(cost.ms_per_row) for cost in asking.engine.batch_costs()] == [[1]]
    asking.engine.close()


def test_requests_that_come_together_try_whether_more_rows_pay() -> None:
    asking, template = Asking(Engine(max_rows=8)), toy()
    asking.now(template, 1.0, 4)
    marks = [float(n) for n in range(8)]
    futures = asking.together(*(lambda m=mark: asking.soon(template, m, 20) for mark in marks))
    for mark, future in zip(marks, futures, strict=True):
        assert future.result(120) == pytest.approx(alone(mark, 20))
    tried = [len(rows) for rows in template.unet.batches[4:]]
    assert tried[0] == 2
    assert 4 in tried, "one size that does not pay does not end the search"
    asking.engine.close()


def test_prompts_of_other_lengths_are_other_groups_and_of_one_cost() -> None:
    def network(latents: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return latents

    def call(side: int, words: int) -> Call:
        arguments = (torch.zeros(1, 4, side, side), torch.zeros(1, words, 8))
        return Call(network, arguments, {}, 1, session=None)

    assert call(8, 3).group != call(8, 5).group
    assert call(8, 3).cost_key == call(8, 5).cost_key != call(16, 3).cost_key


def test_calls_that_must_be_alone_are_neither_measured_nor_batched() -> None:
    engine, rows = Engine(), list[int]()

    def encoder(pictures: list[torch.Tensor]) -> torch.Tensor:
        rows.append(len(pictures))
        return pictures[0]

    def call(**more: Any) -> Call:
        return Call(encoder, ([torch.zeros(4, 8, 8)],), {}, 1, session=None, **more)

    with ThreadPoolExecutor(6) as pool:
        with held(engine):
            futures = [pool.submit(engine.call, call(may_share_batch=n % 2 == 0)) for n in range(6)]
            until(lambda: engine.waiting == 6)
        assert all(future.result(120) is not None for future in futures)
    assert rows == [1] * 6
    assert engine.batch_costs() == []
    engine.close()


# Faults.


def test_a_request_whose_network_fails_fails_alone(asking: Asking) -> None:
    def before(rows: list[float]) -> None:
        if POISON in rows:
            raise ValueError("poisoned")

    template = toy(before)
    marks = [1.0, 2.0, POISON, 3.0]
    futures = asking.together(*(lambda m=mark: asking.soon(template, m) for mark in marks))
    for mark, future in zip(marks, futures, strict=True):
        if mark == POISON:
            with pytest.raises(ValueError, match="poisoned"):
                future.result(120)
        else:
            assert future.result(120) == pytest.approx(alone(mark))
    assert asking.engine.stats.split_batches == 1
    # On a busy machine one of the three may come to a step after the others have left.
    later = [rows for rows in template.unet.batches if POISON not in rows]
    assert any(len(set(rows)) > 1 for rows in later), "the others went on together"


def test_arguments_that_cannot_be_told_apart_fail_their_own_request_only(asking: Asking) -> None:
    odd = {"a": 1, 2: "b"}  # keys that have no order
    call = Call(lambda **_: None, (), {"options": odd}, 1, session=None)
    with pytest.raises(TypeError):
        asking.engine.call(call)
    assert asking.soon(toy(), 1.0).result(120) == pytest.approx(alone(1.0))


def test_what_a_step_raises_ends_its_request_and_no_other(asking: Asking) -> None:
    class Stop(Exception):
        pass

    def stop(step: int) -> None:
        if step == 1:
            raise Stop

    template = toy()
    stopped, other = asking.together(
        lambda: asking.soon(template, 1.0, 9, on_step=stop), lambda: asking.soon(template, 2.0, 9)
    )
    with pytest.raises(Stop):
        stopped.result(120)
    assert other.result(120) == pytest.approx(alone(2.0, 9))
    assert sum(1.0 in rows for rows in template.unet.batches) == 2


def test_a_cancelled_request_is_answered_while_the_engine_is_still_busy(asking: Asking) -> None:
    seats: list[PipelineSession] = []
    template = toy()
    with held(asking.engine):
        waiting = asking.soon(template, 1.0, on_seat=seats.append)
        until(lambda: asking.engine.waiting == 1)
        seats[0].cancel()
        with pytest.raises(SessionCanceled):
            waiting.result(120)
        assert asking.engine.waiting == 0
    assert template.unet.batches == []


def test_a_request_cancelled_between_two_steps_ends_there(asking: Asking) -> None:
    seats: list[PipelineSession] = []
    template = toy()
    with pytest.raises(SessionCanceled):
        asking.now(
            template, 1.0, 9, on_seat=seats.append,
            on_step=lambda step: seats[0].cancel() if step == 2 else None,
        )  # fmt: skip
    assert len(template.unet.batches) == 3


def test_out_of_memory_at_a_batch_makes_batches_smaller_and_loses_no_request(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[str] = []
    monkeypatch.setattr(engine_module, "release_memory", released.append)

    def before(rows: list[float]) -> None:
        if len(rows) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")

    template = toy(before)
    marks = [float(n) for n in range(16)]
    futures = asking.together(*(lambda m=mark: asking.soon(template, m, 12) for mark in marks))
    for mark, future in zip(marks, futures, strict=True):
        assert future.result(120) == pytest.approx(alone(mark, 12))
    sizes = [len(rows) for rows in template.unet.batches]
    assert max(sizes) == 16 and sizes.count(16) == 1, "the limit was not remembered"
    last_failure = max(index for index, size in enumerate(sizes) if size > 4)
    assert last_failure < len(sizes) / 2
    assert max(sizes[last_failure + 1 :]) in (2, 3, 4), "batches of what fits are still made"
    assert len(released) == sum(size > 4 for size in sizes), (
        "what a failed batch took is given back"
    )


def test_a_row_that_does_not_fit_alone_is_its_requests_error(asking: Asking) -> None:
    def before(rows: list[float]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        asking.now(toy(before), 1.0)


def test_closing_answers_those_who_wait_and_refuses_those_who_come() -> None:
    asking = Asking(Engine(calibrate=False))
    template = toy()
    with held(asking.engine):
        waiting = [asking.soon(template, float(n)) for n in range(3)]
        until(lambda: asking.engine.waiting == 3)
        closing = threading.Thread(target=asking.engine.close)
        closing.start()
        for future in waiting:
            with pytest.raises(EngineClosed):
                future.result(120)
    closing.join(120)
    assert not closing.is_alive()
    with pytest.raises(EngineClosed, match="closed"):
        asking.now(template, 1.0)
    assert not asking.engine._demand.transit
    asking.pool.shutdown()


# Turns, with real threads.


class Watched(Engine):
    """Notes how often each call was passed over."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.passed: dict[object, int] = {}

    def call(self, call: Call) -> Any:
        try:
            return super().call(call)
        finally:
            self.passed[call.session] = max(self.passed.get(call.session, 0), call.skipped)


def test_a_long_request_beside_a_stream_of_short_ones_ends_within_the_bound() -> None:
    """With ``others`` at a time, a call waits for ``MAX_PASSED + others`` batches at most."""
    others = 6
    engine = Watched(calibrate=False, max_rows=1)
    asking, template = Asking(engine), toy()
    seats: list[PipelineSession] = []

    def stream() -> int:
        asked = 0
        while not long.done() and asked < 400:
            asking.now(template, 2.0, 2)
            asked += 1
        return asked

    # All are there before the first is served: of threads that start one after the other on a busy
    # machine, the long request might be the only one for most of its time.
    with held(engine):
        long = asking.soon(template, 1.0, 60, on_seat=seats.append)
        until(lambda: engine.waiting == 1)
        streams = [asking.pool.submit(stream) for _ in range(others)]
        until(lambda: engine.waiting == 1 + others)
    assert long.result(120) == pytest.approx(alone(1.0, 60))
    assert sum(future.result(120) for future in streams) > 20, "there was no stream to wait for"
    assert 1 < engine.passed[seats[0]] <= MAX_SKIPPED + others
    engine.close()
    asking.pool.shutdown()


def test_a_high_priority_overtakes_those_who_wait_already() -> None:
    asking, template = Asking(Engine(calibrate=False, max_rows=1)), toy()
    marks = [(1.0, 0), (2.0, 0), (3.0, -1), (99.0, 5), (4.0, 0)]
    futures = asking.together(
        *(
            lambda mark=mark, level=level: asking.soon(template, mark, 1, priority=level)
            for mark, level in marks
        )
    )
    for future in futures:
        future.result(120)
    assert template.unet.batches == [[99.0], [1.0], [2.0], [4.0], [3.0]]
    asking.engine.close()
    asking.pool.shutdown()


# What is left behind.


def test_an_idle_engine_holds_no_request_and_no_weights(asking: Asking) -> None:
    """Evicted weights must be freed although no further batch comes."""
    template = toy()
    network = weakref.ref(template.unet)
    asking.now(template, 1.0)
    del template
    until(lambda: gc.collect() >= 0 and network() is None)


def test_a_thousand_requests_cancelled_at_random_leave_nothing_behind(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)  # pytest keeps every record, and they keep their errors
    threads = threading.active_count()

    def before(rows: list[float]) -> None:
        if POISON in rows:
            raise ValueError("poisoned")

    template = toy(before)

    def one(seed: int) -> str:
        rolled = random.Random(seed)
        steps, end = rolled.randint(1, 6), rolled.randint(0, 11)
        how = rolled.choice(["finish", "finish", "raise", "cancel", "poison"])
        seats: list[PipelineSession] = []

        def on_step(step: int) -> None:
            if how == "raise" and step == end:
                raise SessionCanceled
            if how == "cancel" and step == end:
                # From elsewhere, at a moment of its own: waiting, computed or between two steps.
                threading.Timer(rolled.random() / 500, seats[0].cancel).start()

        mark = POISON if how == "poison" else float(rolled.randint(20, 99))
        try:
            got = asking.now(template, mark, steps, on_seat=seats.append, on_step=on_step)
        except SessionCanceled:
            return "canceled"
        except ValueError:
            return "poisoned"
        assert got == pytest.approx(alone(mark, steps))
        return "finished"

    def half(seeds: range) -> tuple[int, int]:
        outcomes = list(asking.pool.map(one, seeds))
        # By the seeds, 17 of the first half and 31 of the other end canceled for certain.
        assert min(outcomes.count(kind) for kind in ("finished", "canceled", "poisoned")) > 15
        until(lambda: not any(isinstance(t, threading.Timer) for t in threading.enumerate()))
        template.unet.batches.clear()
        gc.collect()
        return len(gc.get_objects()), psutil.Process().memory_info().rss

    objects, resident = half(range(500))
    more_objects, more_resident = half(range(500, 1000))
    assert asking.engine.waiting == 0
    assert not asking.engine._demand.transit, "the engine waits for requests that are gone"
    assert more_objects - objects < 300
    assert more_resident - resident < 32 * MB  # the allocator keeps some, at its own times
    asking.pool.shutdown()
    assert threading.active_count() <= threads
