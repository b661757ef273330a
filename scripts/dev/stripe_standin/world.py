"""Everything the stand-in knows: objects by id, in the order they were made; kept in one file."""

from __future__ import annotations

import json
import secrets
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

from scripts.dev.stripe_standin.errors import missing

Object = dict[str, Any]
API_VERSION = "2026-10-28.endive"

PREFIXES = {
    "charge": "ch",
    "checkout.session": "cs_test",
    "customer": "cus",
    "dispute": "du",
    "event": "evt",
    "invoice": "in",
    "invoice_payment": "inpay",
    "item": "li",
    "line_item": "il",
    "payment_intent": "pi",
    "price": "price",
    "product": "prod",
    "refund": "re",
    "subscription": "sub",
    "subscription_item": "si",
    "billing_portal.session": "bps",
    "test_helpers.test_clock": "clock",
    "webhook_endpoint": "we",
}
# The names of each object's fields, from Stripe's own samples (github.com/stripe/openapi, MIT).
SHAPES: dict[str, list[str]] = json.loads(Path(__file__).with_name("shapes.json").read_text())


class World:
    """``lag_s`` is how far its clock is ahead of the real one; ``private`` is what Stripe knows and
    does not show, by the id it is about."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self.objects: dict[str, dict[str, Object]] = {kind: {} for kind in PREFIXES}
        self.private: dict[str, Any] = {}
        self.answers: dict[str, Any] = {}
        self.deliveries: list[Object] = []
        self.held = False
        self.lag_s = 0
        if file is not None and file.exists():
            kept = json.loads(file.read_text())
            for name in ("private", "answers", "deliveries", "lag_s"):
                setattr(self, name, kept[name])
            self.objects |= kept["objects"]

    def save(self) -> None:
        """On disk before anybody is answered."""
        if self._file is None:
            return
        names = ("objects", "private", "answers", "deliveries", "lag_s")
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({name: getattr(self, name) for name in names}))
        new.replace(self._file)

    def now(self, customer: str | None = None) -> int:
        """In seconds; on the customer's own test clock if there is one."""
        clock = self.objects["customer"].get(customer or "", {}).get("test_clock")
        if clock is not None:
            return int(self.objects["test_helpers.test_clock"][clock]["frozen_time"])
        return int(time.time()) + self.lag_s

    def make(self, kind: str, owner: str | None = None, **fields: Any) -> Object:
        """A new object with every field of its kind; those that are not given are null.

        Its time is that of its customer, or of ``owner``.
        """
        made: Object = dict.fromkeys(SHAPES[kind])
        made |= {
            "id": f"{PREFIXES[kind]}_{secrets.token_hex(12)}",
            "object": kind,
            "livemode": False,
            "created": self.now(owner or fields.get("customer")),
        }
        if "metadata" in made:
            made["metadata"] = {}
        made |= fields
        self.objects[kind][made["id"]] = made
        return made

    def get(self, kind: str, found: str, param: str = "id", status: int = 404) -> Object:
        """Raises Problem: there is none."""
        if found not in self.objects[kind]:
            raise missing(kind.split(".")[-1], found, param, status)
        return self.objects[kind][found]

    def all(self, kind: str, **fields: Any) -> list[Object]:
        """Those whose fields are as given (None: any), oldest first."""
        wanted = {name: value for name, value in fields.items() if value is not None}
        return [
            one
            for one in self.objects[kind].values()
            if all(one.get(name) == value for name, value in wanted.items())
        ]

    def tell(self, event_type: str, about: Object, before: Object | None = None) -> Object:
        """An event with the object as it is at this moment, to be delivered."""
        data: Object = {"object": deepcopy(about)}
        if before is not None:
            data["previous_attributes"] = {
                name: value for name, value in before.items() if about.get(name) != value
            }
        event = self.make(
            "event",
            about["id"] if about["object"] == "customer" else about.get("customer"),
            type=event_type,
            data=data,
            api_version=API_VERSION,
            pending_webhooks=len(self.objects["webhook_endpoint"]),
            request={"id": None, "idempotency_key": None},
        )
        for endpoint in self.objects["webhook_endpoint"].values():
            wanted = endpoint["enabled_events"]
            if "*" in wanted or event_type in wanted:
                self.deliveries.append(
                    {"event": event["id"], "endpoint": endpoint["id"], "attempts": 0, "due": 0.0}
                )
        return event
