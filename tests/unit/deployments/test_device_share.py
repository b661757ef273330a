"""What operations take of a device, from when they began and ended."""

import pytest

from deployments.gpu_manager.device_share import DeviceShare, Work
from models.profiles.load import Capability
from tests.support.clock import Clock

DEPTH, DRAW = Capability.DEPTH, Capability.TEXT_TO_IMAGE


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def share(clock: Clock) -> DeviceShare:
    return DeviceShare(clock)


def test_one_alone_takes_as_long_as_it_runs(share: DeviceShare, clock: Clock) -> None:
    depth = share.begin(DEPTH)
    clock.now += 3
    share.end(depth, completed=True)
    assert share.seconds == {DEPTH: 3.0}


def test_four_at_once_take_a_quarter_each(share: DeviceShare, clock: Clock) -> None:
    four = [share.begin(DRAW) for _ in range(4)]
    clock.now += 2
    for each in four:
        share.end(each, completed=True)
    assert share.seconds == {DRAW: pytest.approx(0.5)}


def test_one_that_was_alone_for_a_while_took_more(share: DeviceShare, clock: Clock) -> None:
    long = share.begin(DRAW)
    clock.now += 1  # alone
    depth = share.begin(DEPTH)
    clock.now += 4  # half each
    share.end(depth, completed=True)
    clock.now += 1  # alone again
    share.end(long, completed=True)
    assert share.seconds == {DEPTH: pytest.approx(2.0), DRAW: pytest.approx(4.0)}


def test_time_with_nothing_at_work_belongs_to_nobody(share: DeviceShare, clock: Clock) -> None:
    share.end(share.begin(DEPTH), completed=True)
    clock.now += 1000
    depth = share.begin(DEPTH)
    assert share.at_work() == {DEPTH: Work(1, 0.0)}
    share.end(depth, completed=True)
    assert share.seconds == {DEPTH: 0.0}


def test_one_that_was_broken_off_does_not_count(share: DeviceShare, clock: Clock) -> None:
    depth = share.begin(DEPTH)
    clock.now += 3
    share.end(depth, completed=False)
    assert share.seconds == {}


def test_what_is_left_falls_as_the_operations_go_on(share: DeviceShare, clock: Clock) -> None:
    first = share.begin(DRAW)
    clock.now += 6
    share.end(first, completed=True)
    share.begin(DRAW)
    share.begin(DRAW)
    assert share.at_work() == {DRAW: Work(2, pytest.approx(12.0))}
    clock.now += 4  # two seconds each
    assert share.at_work() == {DRAW: Work(2, pytest.approx(8.0))}
    clock.now += 20
    assert share.at_work() == {DRAW: Work(2, 0.0)}, (
        "longer than the average, but what is left is not less than nothing"
    )
