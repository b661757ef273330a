"""Where an operation goes when there are several managers."""

from typing import Any

import pytest

from deployments.gpu_manager.device_share import Work
from deployments.gpu_manager.manager_choice import (
    UNKNOWN_LOAD_S,
    UNKNOWN_OPERATION_S,
    ManagerChoice,
    ManagerLoad,
)
from models.profiles.load import Capability
from tests.support.clock import Clock

DEPTH, MESH, DRAW = Capability.DEPTH, Capability.MESH, Capability.TEXT_TO_IMAGE


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def choice(clock: Clock) -> ManagerChoice:
    return ManagerChoice(clock)


def a_manager(
    *loaded: Capability,
    drawings: int = 0,
    left_s: float = 2.0,
    fitting: tuple[Capability, ...] = (DEPTH, MESH),
) -> ManagerLoad:
    """At work are ``drawings``; an operation of depth takes 0.5 s, its model 8 s to load."""
    return ManagerLoad(
        frozenset(loaded),
        frozenset(fitting),
        {DEPTH: 8.0},
        {DEPTH: 0.5, DRAW: 2.0},
        {DRAW: Work(drawings, drawings * left_s)},
    )


def test_an_operation_goes_where_its_model_is_though_there_is_work(choice: ManagerChoice) -> None:
    loads = {"busy": a_manager(DEPTH, drawings=15), "idle": a_manager()}
    assert choice.rank("1", DEPTH, loads) == ["busy", "idle"]


def test_it_goes_elsewhere_if_loading_there_is_sooner(choice: ManagerChoice) -> None:
    loads = {"busy": a_manager(DEPTH, drawings=17), "idle": a_manager()}
    assert choice.rank("1", DEPTH, loads) == ["idle", "busy"]


def test_loading_holds_up_what_is_at_work_there(choice: ManagerChoice) -> None:
    loads = {"busy": a_manager(DEPTH, drawings=17), "less": a_manager(drawings=1)}
    assert choice.rank("1", DEPTH, loads) == ["busy", "less"]


def test_a_model_that_takes_the_place_of_another_counts_twice(choice: ManagerChoice) -> None:
    full = a_manager(fitting=())
    assert choice.rank("1", DEPTH, {"full": full, "room": a_manager()}) == ["room", "full"]
    busy = a_manager(DEPTH, drawings=31)
    assert choice.rank("2", DEPTH, {"busy": busy, "full": full}) == ["busy", "full"]
    busier = a_manager(DEPTH, drawings=33)
    assert choice.rank("3", DEPTH, {"busy": busier, "full": full}) == ["full", "busy"]


def test_what_is_nearly_done_delays_it_little(choice: ManagerChoice) -> None:
    loads = {"ending": a_manager(DEPTH, drawings=70, left_s=0.1), "idle": a_manager()}
    assert choice.rank("1", DEPTH, loads) == ["ending", "idle"]


def test_a_long_one_delays_a_short_one_by_no_more_than_that_takes(choice: ManagerChoice) -> None:
    loads = {"film": a_manager(DEPTH, drawings=1, left_s=600.0), "idle": a_manager()}
    assert choice.rank("1", DEPTH, loads) == ["film", "idle"]


def test_of_two_with_the_model_the_one_with_less_work_takes_it(choice: ManagerChoice) -> None:
    loads = {"busy": a_manager(DEPTH, drawings=2), "less": a_manager(DEPTH, drawings=1)}
    assert choice.rank("1", DEPTH, loads)[0] == "less"


def test_what_a_model_takes_to_load_is_known_from_another_manager(choice: ManagerChoice) -> None:
    new = ManagerLoad(fitting=frozenset({DEPTH, MESH}))
    assert choice.rank("1", DEPTH, {"a": a_manager(DEPTH, drawings=17), "new": new})[0] == "new"
    busy = a_manager(MESH, drawings=int(UNKNOWN_LOAD_S / UNKNOWN_OPERATION_S) - 1)
    assert choice.rank("2", MESH, {"a": busy, "new": new})[0] == "a"


def test_operations_that_come_together_wait_for_one_load(choice: ManagerChoice) -> None:
    loads = {name: a_manager() for name in ("a", "b", "c")}
    chosen = [choice.rank(str(n), DEPTH, loads)[0] for n in range(10)]
    assert len(set(chosen)) == 1, "the first loads the model, and the others wait for it there"


def test_operations_that_come_together_are_spread_over_those_that_have_the_model(
    choice: ManagerChoice,
) -> None:
    loads = {name: a_manager(DEPTH) for name in ("a", "b", "c")}
    chosen = [choice.rank(str(n), DEPTH, loads)[0] for n in range(9)]
    assert sorted(chosen) == ["a", "a", "a", "b", "b", "b", "c", "c", "c"]


def test_one_that_ended_is_no_work_any_more(choice: ManagerChoice) -> None:
    loads = {name: a_manager(DEPTH) for name in ("a", "b")}
    first = choice.rank("1", DEPTH, loads)[0]
    assert choice.rank("2", DEPTH, loads)[0] != first
    choice.ended("1")
    assert choice.rank("3", DEPTH, loads)[0] == first


def test_one_that_was_sent_long_ago_is_in_the_managers_report(
    choice: ManagerChoice, clock: Clock
) -> None:
    loads = {"a": a_manager(DEPTH), "b": a_manager(DEPTH, drawings=1, left_s=0.25)}
    assert choice.rank("1", DEPTH, loads) == ["a", "b"]
    assert choice.rank("2", DEPTH, loads) == ["b", "a"], "one of 0.5 s was just sent to a"
    clock.now += 10.0
    assert choice.rank("3", DEPTH, loads) == ["a", "b"]


def test_one_that_is_asked_for_again_is_not_in_its_own_way(choice: ManagerChoice) -> None:
    loads = {name: a_manager(DEPTH) for name in ("a", "b")}
    first = choice.rank("1", DEPTH, loads)
    assert choice.rank("1", DEPTH, loads) == first


def test_one_whose_end_nobody_hears_of_is_forgotten(choice: ManagerChoice, clock: Clock) -> None:
    loads = {name: a_manager(DEPTH) for name in ("a", "b")}
    for number in range(100):
        clock.now += 1.0
        choice.rank(str(number), DEPTH, loads)
    assert len(choice._sent) <= 3


def test_an_operation_of_no_known_capability_goes_to_the_least_work(choice: ManagerChoice) -> None:
    loads = {"a": a_manager(drawings=2), "b": a_manager(DEPTH, drawings=1)}
    assert choice.rank("1", None, loads) == ["b", "a"]


def test_operations_nobody_has_measured_count_as_some_work(choice: ManagerChoice) -> None:
    loads = dict.fromkeys(("a", "b"), ManagerLoad(frozenset({MESH})))
    chosen = [choice.rank(str(n), MESH, loads)[0] for n in range(4)]
    assert sorted(chosen) == ["a", "a", "b", "b"]
    assert UNKNOWN_OPERATION_S > 0


def test_a_message_says_what_the_manager_has_and_differs_rarely() -> None:
    work = {DRAW: Work(4.0, 1.0), DEPTH: Work(1.0, 0.0)}
    loaded, fitting = frozenset({DEPTH, DRAW}), frozenset({MESH})
    message: dict[str, Any] = ManagerLoad(
        loaded, fitting, {DEPTH: 3.1}, {DRAW: 0.3}, {DRAW: Work(3, 0.7), DEPTH: Work(1, 0)}
    ).to_message()
    rounded = ManagerLoad(loaded, fitting, {DEPTH: 4.0}, {DRAW: 0.5}, work)
    assert ManagerLoad.from_message(message) == rounded
    nearly = ManagerLoad(loaded, fitting, {DEPTH: 3.9}, {DRAW: 0.26}, work)
    assert nearly.to_message() == message
    assert ManagerLoad.from_message({}) == ManagerLoad()
