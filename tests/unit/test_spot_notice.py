"""A cloud's notice is heard once it is given, and nothing else is taken for one."""

import threading
import time

import httpx
import pytest

from scripts import drain_node
from scripts.spot_notice import CLOUDS, wait_for_notice
from tests.support.metadata import metadata_service
from tests.support.waiting import HANG_S


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=HANG_S)


@pytest.mark.parametrize("cloud", sorted(CLOUDS))
def test_a_machine_that_stays_hears_nothing(cloud: str) -> None:
    with metadata_service() as service, client_of(service.url) as http:
        assert CLOUDS[cloud][1](http) is None


@pytest.mark.parametrize(("cloud", "least", "most"), [("ec2", 60.0, 120.0), ("gcp", 30.0, 30.0)])
def test_a_notice_says_how_long_there_is(cloud: str, least: float, most: float) -> None:
    with metadata_service() as service, client_of(service.url) as http:
        service.takes_in = 120.0
        left = CLOUDS[cloud][1](http)
        assert left is not None and least <= left <= most


@pytest.mark.parametrize("cloud", sorted(CLOUDS))
def test_it_waits_for_a_notice_also_while_nobody_answers(cloud: str) -> None:
    with metadata_service() as service:

        def take() -> None:
            while service.asked < 3:
                time.sleep(0.01)
            service.takes_in = 60.0

        thread = threading.Thread(target=take)
        thread.start()
        assert wait_for_notice(cloud, service.url, every_s=0.02) > 0
        thread.join()
        assert service.asked >= 4


@pytest.mark.parametrize("cloud", sorted(CLOUDS))
def test_an_answer_that_makes_no_sense_is_no_notice(cloud: str) -> None:
    with metadata_service() as service:
        service.takes_in = 60.0
        elsewhere = client_of(f"{service.url}/elsewhere")
        with elsewhere as http, pytest.raises(httpx.HTTPError):
            CLOUDS[cloud][1](http)


def test_a_pod_that_ends_drains_the_node_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    drained = []
    monkeypatch.setattr(drain_node, "this_node", lambda: ("a-node", "10.0.0.1:6379"))
    monkeypatch.setattr(drain_node, "drain", lambda *told: drained.append(told))
    monkeypatch.setattr("sys.argv", ["drain_node", "--seconds", "90"])
    drain_node.main()
    assert drained == [("a-node", "10.0.0.1:6379", 90.0)]
