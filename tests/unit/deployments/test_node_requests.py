"""Requests to Ray's autoscaler: from a thread, once each, repeated while they hold."""

from __future__ import annotations

import threading

from deployments.autoscaling.node_requests import REPEAT_S, NodeRequests


class Autoscaler:
    """Takes requests when the test lets it; each answer is waited for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.requests = NodeRequests(self.send, lambda: self.now)

    def send(self, gpus: int) -> None:
        assert self.open.wait(120)
        self.sent.append(gpus)

    def asked(self, gpus: int) -> list[int]:
        self.requests.ask(gpus)
        self.settle()
        return self.sent

    def settle(self) -> None:
        if self.requests._thread is not None:
            self.requests._thread.join()


def test_the_same_request_is_sent_once() -> None:
    autoscaler = Autoscaler()
    for _ in range(5):
        autoscaler.asked(2)
    assert autoscaler.sent == [2]
    assert autoscaler.asked(1) == [2, 1]


def test_a_request_is_repeated_for_a_ray_that_forgot_it_but_none_is_not() -> None:
    autoscaler = Autoscaler()
    autoscaler.asked(1)
    autoscaler.now += REPEAT_S
    assert autoscaler.asked(1) == [1, 1]
    autoscaler.asked(0)
    autoscaler.now += REPEAT_S
    assert autoscaler.asked(0) == [1, 1, 0]


def test_the_first_word_takes_back_what_an_earlier_policy_asked_for() -> None:
    assert Autoscaler().asked(0) == [0]


def test_who_asks_never_waits_and_the_last_wish_is_sent_afterwards() -> None:
    autoscaler = Autoscaler()
    autoscaler.open.clear()
    for gpus in (1, 2, 3):
        autoscaler.requests.ask(gpus)
    autoscaler.open.set()
    autoscaler.settle()
    assert autoscaler.asked(3) == [1, 3]


def test_a_request_that_failed_is_sent_again() -> None:
    faults = iter([RuntimeError("the GCS is away")])
    sent: list[int] = []

    def send(gpus: int) -> None:
        for fault in faults:
            raise fault
        sent.append(gpus)

    requests = NodeRequests(send, lambda: 0.0, pause_s=0.0)
    for _ in range(2):
        requests.ask(1)
        assert requests._thread is not None
        requests._thread.join()
    assert sent == [1]
