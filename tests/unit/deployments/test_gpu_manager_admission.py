"""Operations side by side, and a suspect alone."""

import asyncio

import pytest

from deployments.gpu_manager.admission import Admission


async def run(
    admission: Admission, name: str, log: list[str], end: asyncio.Event, alone: bool = False
) -> None:
    async with admission.admit(alone=alone):
        log.append(f"{name} began")
        await end.wait()
        log.append(f"{name} ended")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_operations_run_side_by_side() -> None:
    admission, log, end = Admission(), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(run(admission, name, log, end)) for name in "ab"]
    await settle()
    assert log == ["a began", "b began"]
    end.set()
    await asyncio.gather(*tasks)


async def test_a_suspect_runs_alone_and_who_comes_later_waits_for_it() -> None:
    admission, log = Admission(), list[str]()
    first, suspect, later = (asyncio.Event() for _ in range(3))
    later.set()
    tasks = [asyncio.create_task(run(admission, "first", log, first))]
    await settle()
    tasks.append(asyncio.create_task(run(admission, "suspect", log, suspect, alone=True)))
    await settle()
    tasks.append(asyncio.create_task(run(admission, "later", log, later)))
    await settle()
    assert log == ["first began"]
    first.set()
    await settle()
    assert log == ["first began", "first ended", "suspect began"]
    suspect.set()
    await asyncio.gather(*tasks)
    assert log[3:] == ["suspect ended", "later began", "later ended"]


async def test_a_canceled_suspect_lets_the_others_in() -> None:
    admission, log = Admission(), list[str]()
    first, later = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(run(admission, "first", log, first))
    await settle()
    waiting = asyncio.create_task(run(admission, "suspect", log, first, alone=True))
    await settle()
    waiting.cancel()
    await settle()
    other = asyncio.create_task(run(admission, "later", log, later))
    await settle()
    assert log == ["first began", "later began"]
    first.set()
    later.set()
    await asyncio.gather(running, other)


async def test_a_suspect_that_finds_no_quiet_moment_lets_the_others_go_on() -> None:
    admission, log, first = Admission(patience_s=0.01), list[str](), asyncio.Event()
    running = asyncio.create_task(run(admission, "first", log, first))
    await settle()
    with pytest.raises(TimeoutError):
        async with admission.admit(alone=True):
            raise AssertionError("it is not alone")
    other = asyncio.create_task(run(admission, "later", log, first))
    await settle()
    assert log == ["first began", "later began"]
    first.set()
    await asyncio.gather(running, other)
