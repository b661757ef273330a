"""Pages of lists, and ids answered as the objects they name."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from scripts.dev.stripe_standin.checkout import lines_of
from scripts.dev.stripe_standin.errors import Problem, missing
from scripts.dev.stripe_standin.world import PREFIXES, Object, World


def page(rows: list[Object], given: Object, url: str) -> Object:
    """Newest first, ``limit`` of them, after or before the one named."""
    limit = given.get("limit", 10)
    if not 1 <= limit <= 100:
        raise Problem("This value must be between 1 and 100.", param="limit")
    created = given.get("created", {})
    if isinstance(created, int):
        created = {"gte": created, "lte": created}
    rows = [row for row in rows[::-1] if _within(row["created"], created)]
    ids = [row["id"] for row in rows]
    for name in ("starting_after", "ending_before"):
        if name in given and given[name] not in ids:
            raise missing("object", given[name], name, 400)
    if "ending_before" in given:
        before = rows[: ids.index(given["ending_before"])]
        found, more = before[-limit:], len(before) > limit
    else:
        start = ids.index(given["starting_after"]) + 1 if "starting_after" in given else 0
        found, more = rows[start : start + limit], len(rows) > start + limit
    return {"object": "list", "data": found, "has_more": more, "url": url}


def _within(moment: int, bounds: dict[str, int]) -> bool:
    tests = {
        "gt": moment.__gt__,
        "gte": moment.__ge__,
        "lt": moment.__lt__,
        "lte": moment.__le__,
    }
    return all(tests[name](bound) for name, bound in bounds.items())


def expanded(world: World, answer: Object, paths: list[str]) -> Object:
    """A copy in which each path leads to an object.

    Raises:
        Problem: it leads to nothing that could be one.
    """
    answer = deepcopy(answer)
    for path in paths:
        todo, parts = [answer], path.split(".")
        if parts[0] == "data" and answer["object"] == "list":
            todo, parts = answer["data"], parts[1:]
        for part in parts:
            inner = [_into(world, one, part, path) for one in todo]
            todo = [one for one in inner if one is not None]
    return answer


def _into(world: World, one: Object, part: str, path: str) -> Object | None:
    if part == "line_items" and one["object"] == "checkout.session":
        one[part] = lines_of(world, one["id"])
        return None
    value: Any = one.get(part, "")
    if isinstance(value, str):
        kind = next((k for k, prefix in PREFIXES.items() if value.startswith(prefix + "_")), None)
        if kind is None or value not in world.objects[kind]:
            raise Problem(f"This property cannot be expanded ({path}).", param="expand")
        one[part] = value = deepcopy(world.objects[kind][value])
    found: Object | None = value
    return found
