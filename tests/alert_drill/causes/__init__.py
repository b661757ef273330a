"""Every cause that can be produced here, in an order in which none hides another; and the alerts
whose causes cannot.

Late webhooks come before refused ones, which are on time; failing jobs before those that end their
replica, which fail too; refused submits last, since their share is one of all submits.
"""

from __future__ import annotations

from tests.alert_drill.causes import deliveries, jobs, money, service, stores

CAUSES = (*deliveries.CAUSES, *money.CAUSES, *jobs.CAUSES, *service.CAUSES, *stores.CAUSES)

_DCGM = "needs a GPU with NVIDIA's DCGM exporter"
NOT_HERE = {
    "GpuMemoryFull": _DCGM,
    "GpuXid": f"{_DCGM}, and a fault of the card",
    "GpuRowRemapFails": f"{_DCGM}, and a fault of the card",
    "GpuHot": f"{_DCGM}, and heat",
    "TensorCoresIdle": _DCGM,
    "CertificateExpires": "needs the blackbox exporter, and a proxy with a certificate",
    "PostgresBackupOld": "needs pgBackRest and node_exporter, on a Postgres that is not embedded",
}
