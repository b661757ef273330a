"""Customers, products, prices, test clocks, endpoints: what there is before anybody pays."""

from __future__ import annotations

import secrets

from scripts.dev.stripe_standin.errors import Problem
from scripts.dev.stripe_standin.world import Object, World


def create_customer(world: World, given: Object) -> Object:
    clock = given.get("test_clock")
    if clock is not None:
        world.get("test_helpers.test_clock", clock, "test_clock", 400)
    customer = world.make(
        "customer",
        balance=0,
        delinquent=False,
        invoice_settings={"default_payment_method": None},
        **{"metadata": {}, **given},
    )
    customer["created"] = world.now(customer["id"])
    world.tell("customer.created", customer)
    return customer


def update_customer(world: World, given: Object, customer_id: str) -> Object:
    customer = world.get("customer", customer_id)
    before = dict(customer)
    metadata = {**customer["metadata"], **given.pop("metadata", {})}
    customer.update(given, metadata=metadata)
    world.tell("customer.updated", customer, before)
    return customer


def create_product(world: World, given: Object) -> Object:
    return world.make(
        "product", active=True, type="service", images=[], **{"metadata": {}, **given}
    )


def create_price(world: World, given: Object) -> Object:
    if "product" not in given and "product_data" not in given:
        raise Problem("Missing required param: product.", code="parameter_missing", param="product")
    if "unit_amount" not in given:
        raise Problem(
            "Missing required param: unit_amount.", code="parameter_missing", param="unit_amount"
        )
    if "product_data" in given:
        product = create_product(world, given.pop("product_data"))
    else:
        product = world.get("product", given["product"], "product", 400)
    key, takes_over = given.get("lookup_key"), given.pop("transfer_lookup_key", False)
    for other in world.all("price", lookup_key=key) if key else []:
        if not takes_over:
            raise Problem(
                f"A price (`{other['id']}`) already uses that lookup key.", param="lookup_key"
            )
        other["lookup_key"] = None
    recurring = given.pop("recurring", None)
    if recurring is not None:
        recurring = {"interval_count": 1, "usage_type": "licensed", "meter": None, **recurring}
    price = world.make(
        "price",
        active=True,
        billing_scheme="per_unit",
        type="recurring" if recurring else "one_time",
        recurring=recurring,
        tax_behavior="unspecified",
        unit_amount_decimal=str(given["unit_amount"]),
        **{"metadata": {}, **given, "product": product["id"]},
    )
    world.tell("price.created", price)
    return price


def update_price(world: World, given: Object, price_id: str) -> Object:
    price = world.get("price", price_id)
    price.update(given, metadata={**price["metadata"], **given.pop("metadata", {})})
    return price


def list_prices(world: World, given: Object) -> list[Object]:
    found = world.all("price", active=given.get("active"), product=given.get("product"))
    keys = given.get("lookup_keys")
    return [price for price in found if keys is None or price["lookup_key"] in keys]


def create_clock(world: World, given: Object) -> Object:
    return world.make("test_helpers.test_clock", status="ready", **given)


def create_endpoint(world: World, given: Object) -> Object:
    endpoint = world.make("webhook_endpoint", status="enabled", **{"metadata": {}, **given})
    world.private[f"secret:{endpoint['id']}"] = f"whsec_{secrets.token_hex(16)}"
    return {**endpoint, "secret": world.private[f"secret:{endpoint['id']}"]}


def delete_endpoint(world: World, given: Object, endpoint_id: str) -> Object:
    world.get("webhook_endpoint", endpoint_id)
    del world.objects["webhook_endpoint"][endpoint_id]
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}
