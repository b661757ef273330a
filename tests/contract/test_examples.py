"""What the documents show costs and means what it did: ``python -m scripts.examples``."""

import json

from scripts.examples import RECORD, changes, describe_all


def test_no_example_changed_its_price_or_its_meaning() -> None:
    now = json.loads(json.dumps(describe_all()))
    assert len(now) > 20
    assert changes(json.loads(RECORD.read_text("utf-8")), now) == []


def test_a_changed_price_or_word_is_named() -> None:
    before = {"a": {"credits": 1, "scenes": ["x"]}, "b": {"credits": 2}}
    after = {"a": {"credits": 3, "scenes": ["y"]}, "c": {"credits": 2}}
    assert changes(before, after) == [
        "b: is gone",
        "c: is new",
        "a: credits was 1, is 3",
        'a: scenes was ["x"], is ["y"]',
    ]
