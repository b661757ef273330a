"""Several lanes: what they compute at the same time, with how many threads, and for whom."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from models.diffusion.batching import Engine
from models.diffusion.batching.call import Call
from models.diffusion.batching.cost import Layout
from models.diffusion.batching.encoder_cache import EncoderCache
from models.diffusion.batching.session import open_session
from models.diffusion.batching.stats import LabelStats
from tests.support.toy_pipeline import Toy, held, toy, until


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(lanes=2, calibrate=False)
    yield engine
    engine.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def asked(engine: Engine, template: Toy, mark: float, steps: int, **more: Any) -> list[float]:
    with open_session(engine, template, EncoderCache(), calls=steps, **more) as session:
        result: list[float] = session.pipeline(mark, steps)
        return result


def call(network: Callable[..., Any], **more: Any) -> Call:
    return Call(network, (torch.zeros(1, 4, 8, 8),), {}, 1, None, **more)


def test_lanes_compute_at_the_same_time(engine: Engine, pool: ThreadPoolExecutor) -> None:
    meeting = threading.Barrier(2)

    def network(latents: torch.Tensor) -> torch.Tensor:
        meeting.wait(60)
        return latents

    futures = [pool.submit(engine.call, call(network, may_share_batch=False)) for _ in range(2)]
    for future in futures:
        assert future.result(120).shape == (1, 4, 8, 8)


def test_each_gets_what_it_gets_alone_whichever_lane_computes_its_steps(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    template, rolled = toy(), random.Random(1)
    steps = {float(mark): rolled.randint(1, 9) for mark in range(60)}
    futures = [pool.submit(asked, engine, template, mark, steps[mark]) for mark in steps]
    for mark, future in zip(steps, futures, strict=True):
        assert future.result(120) == pytest.approx(toy()(mark, steps[mark]))
    assert not engine._demand.transit


def test_a_lane_has_one_thread_however_many_the_process_had(pool: ThreadPoolExecutor) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    counts = list[int]()
    engine = Engine(lanes=2, calibrate=False)
    try:
        template = toy(lambda _: counts.append(torch.get_num_threads()))
        list(pool.map(lambda mark: asked(engine, template, mark, 3), [1.0, 2.0, 3.0]))
        assert set(counts) == {1}
        # What pipelines compute in threads of their own runs beside the lanes.
        assert ThreadPoolExecutor(1).submit(torch.get_num_threads).result(60) == 1
    finally:
        engine.close()
        torch.set_num_threads(before)


def test_a_pass_that_gains_from_all_cores_has_as_many_threads_and_the_next_has_one() -> None:
    before, counts = torch.get_num_threads(), list[int]()
    engine = Engine(lanes=1)

    def network(latents: torch.Tensor) -> torch.Tensor:
        counts.append(torch.get_num_threads())
        return latents

    try:
        for threads in (3, 1):
            with pytest.MonkeyPatch.context() as patch:
                layout = Layout(lanes=1, threads=threads, rows=1)
                patch.setattr(engine._costs, "layout", lambda *_, layout=layout: layout)
                engine.call(call(network))
        assert counts == [3, 1]
        assert ThreadPoolExecutor(1).submit(torch.get_num_threads).result(60) == 1
    finally:
        engine.close()
        torch.set_num_threads(before)


def test_calls_of_a_kind_that_gains_from_one_lane_only_are_not_divided(
    pool: ThreadPoolExecutor,
) -> None:
    """A second lane is free, and yet the call waits: it joins the next batch of the first."""
    engine, at_work, most = Engine(lanes=2), 0, 0
    begun, release = threading.Event(), threading.Event()

    def network(latents: torch.Tensor) -> torch.Tensor:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        begun.set()
        assert release.wait(60)
        at_work -= 1
        return latents

    first = pool.submit(engine.call, call(network))
    assert begun.wait(60)
    others = [pool.submit(engine.call, call(network)) for _ in range(4)]
    until(lambda: engine.waiting == 4)
    other = pool.submit(engine.call, call(lambda latents: latents))
    assert other.result(60) is not None, "the second lane was not free"
    release.set()
    for future in (first, *others):
        assert future.result(60) is not None
    assert most == 1
    engine.close()


def test_a_picture_that_fails_in_one_lane_leaves_the_other_lane_alone(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    def poisoned(_: torch.Tensor) -> torch.Tensor:
        raise ValueError("poisoned")

    good = [pool.submit(asked, engine, toy(), float(mark), 20) for mark in range(4)]
    bad = [pool.submit(engine.call, call(poisoned)) for _ in range(20)]
    for future in bad:
        with pytest.raises(ValueError, match="poisoned"):
            future.result(120)
    for mark, future in enumerate(good):
        assert future.result(120) == pytest.approx(toy()(float(mark), 20))


def test_the_statistics_say_which_labels_shared_batches(pool: ThreadPoolExecutor) -> None:
    engine, template = Engine(calibrate=False), toy()
    asked(engine, template, 1.0, 2, label="image")
    with held(engine):
        both = [
            pool.submit(asked, engine, template, mark, 1, label=label)
            for mark, label in ((2.0, "image"), (3.0, "story_video"), (4.0, "story_video"))
        ]
        until(lambda: engine.waiting == 3)
    for future in both:
        future.result(120)
    labels = engine.stats.labels
    assert labels["image"] == LabelStats(batches=3, rows=3, batch_rows=5, shared_batches=1)
    assert labels["story_video"] == LabelStats(batches=1, rows=2, batch_rows=3, shared_batches=1)
    engine.close()


def test_the_calls_of_two_users_share_the_rows_of_a_batch(pool: ThreadPoolExecutor) -> None:
    engine, template = Engine(calibrate=False, max_rows=2), toy()
    with held(engine):
        futures = []
        for mark, flow in ((1.0, "ann"), (2.0, "ann"), (3.0, "ann"), (9.0, "ben")):
            before = engine.waiting
            futures.append(pool.submit(asked, engine, template, mark, 1, flow=flow))
            until(lambda before=before: engine.waiting > before)
    for future in futures:
        future.result(120)
    assert [sorted(rows) for rows in template.unet.batches] == [[1.0, 9.0], [2.0, 3.0]]
    engine.close()
