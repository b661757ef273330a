"""How Serve finds the manager for a call: by what they have loaded, and their work."""

from __future__ import annotations

from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from deployments.gpu_manager.manager_choice import ManagerChoice, ManagerLoad
from models.inference.inference import Operation


class ManagerRouter(RequestRouter):
    """Sends an operation to the manager that has its model, unless waiting there takes longer than
    loading the model elsewhere. Serve makes one in each process that calls.
    """

    def initialize_state(self, **kwargs: Any) -> None:
        self._choice = ManagerChoice()

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Return the managers one by one, the best first: Serve takes the first that accepts."""
        if pending_request is None:
            return [candidate_replicas]
        # Serve asks again at once otherwise, for as long as all are full.
        pending_request.routing_context.should_backoff = True
        if len(candidate_replicas) < 2:
            return [candidate_replicas]
        replicas = {each.replica_id.unique_id: each for each in candidate_replicas}
        ranked = self._choice.rank(
            pending_request.metadata.internal_request_id,
            _capability_of(pending_request),
            {name: ManagerLoad.from_message(each.routing_stats) for name, each in replicas.items()},
        )
        return [[replicas[name]] for name in ranked]

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        self._choice.ended(internal_request_id)


def _capability_of(pending_request: PendingRequest) -> str | None:
    first = pending_request.args[0] if pending_request.args else None
    return first.capability if isinstance(first, Operation) else None
