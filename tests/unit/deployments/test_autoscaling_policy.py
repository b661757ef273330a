"""The policy as Serve's controller calls it: it holds what it cannot read, and never raises."""

import gc
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from db.redis.queue import QueueCounts
from deployments.autoscaling import policy as autoscaling_policy
from deployments.autoscaling.node_requests import NodeRequests
from deployments.autoscaling.packing import NodeResources
from deployments.autoscaling.policy import MAX_SNAPSHOT_AGE_S, QueueDepthPolicy
from deployments.autoscaling.queue_reader import QueueSnapshot
from deployments.gpu_manager.names import GPU_MANAGER
from tests.support.toys import MODULES, NAMES


class Reader:
    """Queues as the test sets them, read just now unless it says otherwise."""

    def __init__(self) -> None:
        self.waiting = dict.fromkeys(NAMES, 0)
        self.now = self.read_at = 100.0
        self.gpus, self.cpus = 1, 8.0
        self.job_s = {"ann": 40.0}
        self.paused = self.broken = False

    def latest(self) -> QueueSnapshot | None:
        counts = (
            {}
            if self.broken
            else {
                name: QueueCounts(waiting, 0, self.paused) for name, waiting in self.waiting.items()
            }
        )
        nodes = [NodeResources(self.cpus, self.gpus)]
        return QueueSnapshot(self.read_at, counts, self.job_s, nodes)


class Opened(Reader):
    """One that the policy opens itself."""

    closed = False

    def close(self) -> None:
        self.closed = True


class Asked:
    """What Ray's autoscaler was asked for last."""

    gpus: int | None = None

    def ask(self, gpus: int) -> None:
        self.gpus = gpus


def context(name: str, target: int = 0, least: int = 0, most: int = 4) -> Any:
    return SimpleNamespace(
        deployment_name=name,
        target_num_replicas=target,
        current_num_replicas=target,
        capacity_adjusted_min_replicas=least,
        capacity_adjusted_max_replicas=most,
    )


def contexts(**given: Any) -> dict[str, Any]:
    """By deployment id, as Serve's; the ids here are texts."""
    return {f"id of {name}": given.get(name) or context(name) for name in (*NAMES, GPU_MANAGER)}


def decided(policy: QueueDepthPolicy, **given: Any) -> dict[str, int]:
    """The replicas that are not none, by deployment, once managers run."""
    decided, _ = policy(contexts(**given))
    managers = context(GPU_MANAGER, decided[f"id of {GPU_MANAGER}"])
    decided, _ = policy(contexts(**{GPU_MANAGER: managers, **given}))
    return {key.removeprefix("id of "): count for key, count in decided.items() if count}


@pytest.fixture
def reader() -> Reader:
    return Reader()


def policy(reader: Reader, **more: Any) -> QueueDepthPolicy:
    return QueueDepthPolicy(MODULES, reader=reader, clock=lambda: reader.now, **more)


def test_who_has_work_is_given_a_replica_and_a_manager_by_its_deployments_id(
    reader: Reader,
) -> None:
    reader.waiting["ben"] = 3
    decided, state = policy(reader)(contexts())
    assert decided == {
        f"id of {name}": int(name in ("ben", GPU_MANAGER)) for name in (*NAMES, GPU_MANAGER)
    }
    assert state == {}


def test_a_policy_that_another_takes_the_place_of_closes_its_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, asked = Opened(), Asked()
    monkeypatch.setattr(autoscaling_policy, "_open_reader", lambda _: opened)
    decide = QueueDepthPolicy(MODULES, requests=cast(NodeRequests, asked), clock=lambda: opened.now)
    decide(contexts())
    assert not opened.closed
    del decide
    gc.collect()
    assert opened.closed


def test_measured_seconds_count_and_not_the_catalogues(reader: Reader) -> None:
    reader.waiting.update(ann=2, ben=2)
    reader.gpus = 2
    assert decided(policy(reader)) == {GPU_MANAGER: 2, "ann": 2, "ben": 1}


def test_a_manager_and_twelve_replicas_fit_one_card_and_every_generator_has_one(
    reader: Reader,
) -> None:
    reader.waiting.update(dict.fromkeys(NAMES, 1000))
    given = decided(policy(reader))
    assert set(given) == {*NAMES, GPU_MANAGER}
    assert (given.pop(GPU_MANAGER), sum(given.values())) == (1, 12)


def test_bounds_are_the_deployments_own_at_this_moment(reader: Reader) -> None:
    reader.waiting["ann"] = 100
    reader.gpus = 4
    decide = policy(reader)
    assert decided(decide, ann=context("ann", most=1)) == {GPU_MANAGER: 1, "ann": 1}
    assert decided(decide, ann=context("ann", 1, most=2))["ann"] == 2
    one = context(GPU_MANAGER, 1, most=1)
    assert decided(decide, gpu_manager=one)[GPU_MANAGER] == 1
    reader.waiting["ann"] = 0
    assert decided(policy(reader), cat=context("cat", least=1)) == {GPU_MANAGER: 1, "cat": 1}
    assert decided(policy(reader), gpu_manager=context(GPU_MANAGER, least=1)) == {GPU_MANAGER: 1}


def test_shares_can_be_changed_and_are_of_no_account_without_gpus(reader: Reader) -> None:
    reader.waiting.update(dict.fromkeys(NAMES, 1))
    large = policy(reader, shares=dict.fromkeys(NAMES, 0.2))
    assert sum(decided(large).values()) == 1 + 2
    reader.gpus = 0
    assert decided(policy(reader)) == {}
    assert sum(decided(policy(reader, gpu=False)).values()) == 1 + 6


def test_a_small_machine_gets_as_many_replicas_as_its_cpus_carry(reader: Reader) -> None:
    reader.waiting.update(dict.fromkeys(NAMES, 5))
    reader.cpus = 2.4
    small = policy(reader, gpu=False, replica_cpus=0.5, reserved_cpus=0.4)
    assert sum(decided(small).values()) == 1 + 3


def test_long_queues_ask_for_gpus_up_to_the_most_and_none_ask_for_none(reader: Reader) -> None:
    asked = Asked()
    decide = policy(reader, max_gpus=3, requests=asked)
    reader.waiting.update(dict.fromkeys(NAMES, 1000))
    decide(contexts())
    assert asked.gpus == 3
    reader.waiting.update(dict.fromkeys(NAMES, 0) | {"ann": 1})
    decide(contexts())
    assert asked.gpus == 1
    reader.waiting["ann"] = 0
    decide(contexts())
    assert asked.gpus == 0


def test_what_was_asked_for_is_no_room_until_it_is_there(reader: Reader) -> None:
    reader.waiting.update(dict.fromkeys(NAMES, 1000))
    decide = policy(reader, max_gpus=3, requests=Asked())
    assert decided(decide)[GPU_MANAGER] == 1
    reader.gpus = 0
    assert decided(decide) == {}


def test_more_gpus_than_the_most_are_left_to_others(reader: Reader) -> None:
    reader.waiting.update(dict.fromkeys(NAMES, 1000))
    reader.gpus = 4
    assert decided(policy(reader, max_gpus=1))[GPU_MANAGER] == 1


def test_without_a_most_nothing_is_asked_for(reader: Reader) -> None:
    asked = Asked()
    reader.waiting.update(dict.fromkeys(NAMES, 1000))
    policy(reader, requests=asked)(contexts())
    assert asked.gpus == 0


def test_a_paused_queue_wakes_nobody(reader: Reader) -> None:
    reader.waiting["ann"] = 5
    reader.paused = True
    assert sum(policy(reader)(contexts())[0].values()) == 0


def test_an_old_reading_holds_everything(reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    reader.waiting["ann"] = 5
    decide, there = policy(reader), contexts(dan=context("dan", 1))
    decide(there)
    reader.now += MAX_SNAPSHOT_AGE_S + 1
    with caplog.at_level(logging.WARNING, "ray.serve"):
        held, _ = decide(there)
    assert held == {key: int(key == "id of dan") for key in there}
    assert "held" in caplog.text


def test_a_fault_of_ours_holds_everything_and_is_logged(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    reader.broken = True
    with caplog.at_level(logging.ERROR, "ray.serve"):
        held, _ = policy(reader)(contexts(eve=context("eve", 2)))
    assert held == {key: 2 * int(key == "id of eve") for key in contexts()}
    assert "autoscaling_failed" in caplog.text


def test_other_deployments_are_left_alone(reader: Reader) -> None:
    decided, _ = policy(reader)(contexts() | {"id of ingress": context("ingress", 3)})
    assert "id of ingress" not in decided


def test_each_change_is_logged_with_what_it_was_decided_by(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    reader.waiting["fay"] = 7
    decide = policy(reader)
    with caplog.at_level(logging.INFO, "ray.serve"):
        decide(contexts())
        decide(contexts(fay=context("fay", 1), gpu_manager=context(GPU_MANAGER, 1)))
    manager, line = sorted((record.message for record in caplog.records), reverse=True)
    assert "gpu_manager: 0 -> 1 replicas" in manager
    assert "fay: 0 -> 1 replicas" in line
    assert "waiting 7" in line
