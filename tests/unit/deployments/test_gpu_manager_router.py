"""Serve's router of calls to managers, without Serve."""

from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from ray.serve.request_router import PendingRequest

from deployments.gpu_manager.manager_choice import ManagerLoad
from deployments.gpu_manager.router import ManagerRouter
from models.inference.inference import NOBODY
from models.inference.operations import EstimateDepth
from models.profiles.load import Capability

DEPTH = frozenset({Capability.DEPTH})


@pytest.fixture
def router() -> ManagerRouter:
    router = ManagerRouter.__new__(ManagerRouter)  # its parent wants Serve
    router.initialize_state()
    return router


def a_replica(name: str, load: ManagerLoad | None = None) -> Any:
    told = {} if load is None else load.to_message()
    return SimpleNamespace(replica_id=SimpleNamespace(unique_id=name), routing_stats=told)


def a_call(*given: Any, number: int = 1) -> PendingRequest:
    metadata: Any = SimpleNamespace(internal_request_id=str(number))
    return PendingRequest(list(given), {}, metadata, future=None)  # type: ignore[arg-type]


def an_operation(number: int = 1) -> PendingRequest:
    return a_call(EstimateDepth(Image.new("RGB", (8, 8))), NOBODY, number=number)


async def names(router: ManagerRouter, replicas: list[Any], call: PendingRequest) -> list[str]:
    ranked = await router.choose_replicas(replicas, call)
    return [each.replica_id.unique_id for rank in ranked for each in rank]


async def test_the_manager_with_the_model_is_the_first(router: ManagerRouter) -> None:
    replicas = [a_replica("a", ManagerLoad()), a_replica("b", ManagerLoad(DEPTH))]
    assert await names(router, replicas, an_operation()) == ["b", "a"]


async def test_all_managers_are_there_while_none_has_told_anything(router: ManagerRouter) -> None:
    replicas = [a_replica("a"), a_replica("b")]
    assert sorted(await names(router, replicas, an_operation())) == ["a", "b"]
    assert sorted(await names(router, replicas, a_call())) == ["a", "b"]


async def test_a_call_that_ended_is_forgotten(router: ManagerRouter) -> None:
    replicas = [a_replica("a", ManagerLoad(DEPTH)), a_replica("b", ManagerLoad(DEPTH))]
    first = (await names(router, replicas, an_operation(1)))[0]
    assert (await names(router, replicas, an_operation(2)))[0] != first
    router.on_request_completed(replicas[0].replica_id, "1")
    router.on_request_completed(replicas[0].replica_id, "2")
    assert (await names(router, replicas, an_operation(3)))[0] == first


@pytest.mark.parametrize("count", [1, 2])
async def test_serve_pauses_before_it_asks_again_while_all_are_full(
    router: ManagerRouter, count: int
) -> None:
    call = an_operation()
    await router.choose_replicas([a_replica(str(n)) for n in range(count)], call)
    assert call.routing_context.should_backoff
