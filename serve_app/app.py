"""``build(args)`` returns all of Atelier as one Ray Serve application.

It has an ingress, the maintenance deployment and one deployment for each listed generator.
``serve_config.yaml`` holds the arguments and the autoscaling policy, without which generators stay
at their minimum of replicas. Addresses and secrets come from the environment of the cluster.
"""

# No "from __future__ import annotations" here: Serve validates the arguments only if the
# annotation of ``build`` is a class, and with it silently passes a plain dict.

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.schema import LoggingConfig

from deployments.catalog import load_catalog
from deployments.gpu_manager.deployment import gpu_manager_deployment
from deployments.gpu_manager.names import GPU_SHARE
from deployments.maintenance.deployment import maintenance_deployment
from deployments.worker.deployment import Scale, generator_deployment
from serve_app.ingress import Ingress


class AppArgs(BaseModel):
    """The ``args`` of the application in ``serve_config.yaml``; an unknown one is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generators: list[str] = Field(min_length=1, description="Modules that hold a spec.")
    release: str = Field(
        default="",
        max_length=100,
        description="Any word. Another one has every replica replaced, as new code needs.",
    )
    profile: str | None = Field(
        default=None, description="Models for which machine; None is ATELIER_PROFILE."
    )
    gpu: bool = Field(default=False, description="Whether replicas claim their share of a GPU.")
    shares: dict[str, float] = Field(
        default_factory=dict, description="Shares of a GPU that differ from the catalogue's."
    )
    min_replicas: int = Field(default=0, ge=0, description="Of each generator, at any time.")
    max_replicas: int = Field(default=1, ge=1, description="Of each generator, at most.")
    min_managers: int = Field(default=1, ge=0, description="GPU managers, at any time.")
    max_managers: int = Field(default=1, ge=1, description="GPU managers, at most: one a GPU.")
    ingress_replicas: int = Field(default=1, ge=1)
    ingress_cpus: float = Field(default=0.2, ge=0, description="CPUs set aside for each ingress.")
    replica_cpus: float = Field(default=0.5, ge=0, description="CPUs set aside for each replica.")
    service_resources: dict[str, float] = Field(
        default_factory=dict,
        description="Ray resources that choose the nodes of the ingress and of maintenance.",
    )


def build(args: AppArgs) -> serve.Application:
    """Build the application.

    Raises:
        deployments.catalog.CatalogError: a listed module is no generator, or a name comes twice.
        ValueError: the minimum of replicas could keep a GPU manager off its card for good.
    """
    catalog = load_catalog(args.generators)
    if args.gpu:
        claims = [args.shares.get(name, spec.num_gpus) for name, spec in catalog.items()]
        _require_room_for_managers(args.min_replicas, sum(claims))
    manager = gpu_manager_deployment(
        profile=args.profile,
        num_gpus=GPU_SHARE if args.gpu else 0.0,
        num_cpus=args.replica_cpus,
        min_replicas=args.min_managers,
        max_replicas=max(args.min_managers, args.max_managers),
    )
    workers = [
        generator_deployment(
            module,
            spec,
            Scale(args.min_replicas, max(args.min_replicas, args.max_replicas)),
            manager,
            num_gpus=args.shares.get(spec.name, spec.num_gpus) if args.gpu else 0.0,
            num_cpus=args.replica_cpus,
        )
        for module, spec in zip(args.generators, catalog.values(), strict=True)
    ]
    ingress = serve.deployment(
        name="ingress",
        num_replicas=args.ingress_replicas,
        ray_actor_options={"num_cpus": args.ingress_cpus, "resources": args.service_resources},
        # Serve counts an open event stream or long poll as a request that goes on, and refuses
        # every call above this number. It is far above MAX_STREAMS, so that the ingress refuses
        # streams first, and answers all other calls whatever their number.
        max_ongoing_requests=10_000,
        health_check_period_s=5.0,
        health_check_timeout_s=30.0,
        graceful_shutdown_wait_loop_s=0.2,
        logging_config=LoggingConfig(enable_access_log=False),
    )(Ingress)
    maintenance = maintenance_deployment(list(catalog), resources=args.service_resources)
    bound = [manager, *workers, maintenance]
    return ingress.bind(args.generators, bound, args.release, args.profile)


def _require_room_for_managers(min_replicas: int, claims: float) -> None:
    """Ray may place the minimum of every generator on one card before that card's manager."""
    claimed, room = round(min_replicas * claims, 6), round(1.0 - GPU_SHARE, 6)
    if claimed > room:
        raise ValueError(
            f"min_replicas: {min_replicas} of each generator claim {claimed:.2f} of a GPU, and "
            f"{room:.2f} of it is beside a manager; lower min_replicas or the generators' shares "
            "(more replicas follow the queues all the same)"
        )
