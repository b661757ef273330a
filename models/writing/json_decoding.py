"""Constrain a language model to JSON of a schema that always ends within its token budget.

llguidance (MIT, Rust) masks the tokens that the grammar forbids, but it does not bound the length:
:class:`JsonSchemaConstraint` reserves enough of the budget to close open structures and forces the
shortest ending when only that reserve remains.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from models.writing.requests import BudgetTooSmall, SchemaNotSupported

# No white space, so that the shortest ending is short; no \u escapes, so that no half character
# pair can be written.
_GRAMMAR: Any = {"whitespace_flexible": False, "json_allowed_escapes": '"\\n'}
_UNSUPPORTED_KEYWORDS = ("pattern", "format", "allOf", "oneOf", "patternProperties", "prefixItems")

OnToken = Callable[[int, int], None]


@functools.cache
def strict_json_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """Build the JSON schema of ``schema``: references resolved, all fields required, no others
    allowed.

    Raises:
        SchemaNotSupported: a string, list or integer has no upper bound, or it recurses.
    """
    whole = schema.model_json_schema()
    return _strict_node(whole, whole.get("$defs", {}), ())


def max_token_growth(schema: dict[str, Any]) -> int:
    """Return the most bytes that one token can add to the shortest ending of a text of ``schema``.

    A token adds bytes when it starts a list element, takes one branch of several, or ends inside a
    character.
    """
    inner = [schema[key] for key in ("items",) if key in schema]
    inner += [*schema.get("anyOf", ()), *schema.get("properties", {}).values()]
    opened = [_min_json_bytes(schema["items"])] if "items" in schema else []
    opened += [_min_json_bytes(branch) for branch in schema.get("anyOf", ())]
    if not inner:
        opened.append(_min_json_bytes(schema))
    return max([8, *(size + 8 for size in opened), *(max_token_growth(part) for part in inner)])


def wrap_tokenizer(tokenizer: Any, vocabulary: int) -> Any:
    """Wrap a fast tokenizer for llguidance; this takes about a second for a large one, so reuse it.

    ``vocabulary`` is the number of logits, which is often padded beyond the tokenizer's own size.
    """
    import llguidance.hf

    return llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary)


class JsonSchemaConstraint:
    """A logits processor for one sequence; ``truncated`` tells whether the budget cut it short."""

    def __init__(
        self,
        schema: dict[str, Any],
        tokenizer: Any,
        prompt_tokens: int,
        budget: int,
        on_token: OnToken | None = None,
    ) -> None:
        """``tokenizer`` comes from :func:`wrap_tokenizer`; ``budget`` is the maximum of new tokens.

        Raises:
            SchemaNotSupported: llguidance refuses the schema.
            BudgetTooSmall: the budget cannot hold the shortest JSON.
        """
        import llguidance

        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema, overrides=_GRAMMAR)
        self._matcher = llguidance.LLMatcher(tokenizer, grammar)
        if self._matcher.is_error():
            raise SchemaNotSupported(self._matcher.get_error())
        # Where several ways are open: leave a string, fill one that is too short, leave a list,
        # leave an object. Nothing else is ever shorter.
        ends = [tokenizer.tokenize_bytes(end) for end in (b'"', b"a", b"]", b"}", b",")]
        self._ends = [tokens[0] for tokens in ends if len(tokens) == 1]
        self._seen = prompt_tokens
        self._first = prompt_tokens
        self._budget = budget
        self._on_token = on_token
        self._opening = max_token_growth(schema)
        self._next_look = 0
        self._ending: list[int] = []
        self.truncated = False
        if (least := len(self._shortest_ending()) + self._opening) > budget:
            raise BudgetTooSmall(f"{budget} tokens are too few for this schema; give {least}")

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Mask ``scores`` with minus infinity for every token that may not come next.

        ``input_ids`` is int64 of shape (1, prompt and generated tokens); ``scores`` and the result
        are float of shape (1, vocabulary).
        """

        fresh = input_ids[0, self._seen :].tolist()
        self._seen = input_ids.shape[1]
        written = self._seen - self._first
        if self._on_token is not None:
            self._on_token(written, self._budget)
        if fresh and not self._matcher.is_stopped() and not self._matcher.consume_tokens(fresh):
            raise RuntimeError(f"a token outside the grammar: {self._matcher.get_error()}")
        allowed = torch.zeros(scores.shape[-1], dtype=torch.bool)
        if (forced := self._forced_token(written)) is not None:
            allowed[forced] = True
        else:
            bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
            mask = np.unpackbits(bits, bitorder="little")[: scores.shape[-1]]
            allowed[: mask.size] = torch.from_numpy(mask).bool()
        return scores.masked_fill(~allowed.to(scores.device), float("-inf"))

    def _forced_token(self, written: int) -> int | None:
        """Return the next token of the shortest ending at the reserve, else ``None``."""
        if self._ending:
            return self._ending.pop()
        if written < self._next_look or self._matcher.is_accepting():
            return None
        ending = self._shortest_ending()
        spare = self._budget - written - len(ending)
        if spare <= self._opening:
            self.truncated = True
            self._ending = ending[::-1]
            return self._ending.pop()
        # Each token adds at most _opening to the ending and takes one from the budget.
        self._next_look = written + spare // (self._opening + 1)
        return None

    def _shortest_ending(self) -> list[int]:
        matcher, tokens = self._matcher.deep_copy(), []
        while not matcher.is_accepting():
            step = matcher.compute_ff_tokens() or [self._ending_token(matcher.compute_bitmask())]
            if not matcher.consume_tokens(step):
                raise SchemaNotSupported(f"the schema has no ending: {matcher.get_error()}")
            tokens += step
        return tokens

    def _ending_token(self, mask: bytes) -> int:
        for token in self._ends:
            if mask[token >> 3] >> (token & 7) & 1:
                return token
        return next(n * 8 + (b & -b).bit_length() - 1 for n, b in enumerate(mask) if b)


def _strict_node(
    node: dict[str, Any], definitions: dict[str, Any], inside: tuple[str, ...]
) -> dict[str, Any]:
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name in inside:
            raise SchemaNotSupported(f"{name} contains itself, so no length bounds it")
        return _strict_node(definitions[name], definitions, (*inside, name))
    if unsupported := [key for key in _UNSUPPORTED_KEYWORDS if key in node]:
        raise SchemaNotSupported(
            f"{unsupported[0]} is not supported in {node.get('title', 'the schema')}"
        )
    out = {key: node[key] for key in node if key not in ("$defs", "title", "default")}
    kind = node.get("type")
    if "anyOf" in node:
        out["anyOf"] = [_strict_node(branch, definitions, inside) for branch in node["anyOf"]]
    elif kind == "object":
        fields = node.get("properties")
        if not fields or node.get("additionalProperties"):
            raise SchemaNotSupported("an object needs named fields and no others")
        out["properties"] = {
            key: _strict_node(part, definitions, inside) for key, part in fields.items()
        }
        out |= {"required": list(fields), "additionalProperties": False}
    elif kind == "array":
        if "maxItems" not in node or "items" not in node:
            raise SchemaNotSupported(f"the list {node.get('title', '')!r} needs a max_length")
        out["items"] = _strict_node(node["items"], definitions, inside)
    elif kind == "string" and not {"enum", "const", "maxLength"} & set(node):
        raise SchemaNotSupported(f"the text {node.get('title', '')!r} needs a max_length")
    elif kind in ("integer", "number") and not {"enum", "const"} & set(node):
        low = {"minimum", "exclusiveMinimum"} & set(node)
        if not (low and {"maximum", "exclusiveMaximum"} & set(node)):
            raise SchemaNotSupported(f"the number {node.get('title', '')!r} needs ge and le")
    elif kind not in ("string", "integer", "number", "boolean", "null"):
        raise SchemaNotSupported(f"{node.get('title', 'a field')} has no plain type")
    return out


def _min_json_bytes(node: dict[str, Any]) -> int:
    """Return the bytes of the shortest JSON of ``node``, taking the longest of alternatives."""
    if "anyOf" in node:
        return max(_min_json_bytes(branch) for branch in node["anyOf"])
    for choices in (node.get("enum"), [node["const"]] if "const" in node else None):
        if choices:
            return max(len(json.dumps(choice, ensure_ascii=False).encode()) for choice in choices)
    if node["type"] == "object":
        fields = node["properties"].items()
        return 2 + sum(
            len(json.dumps(key).encode()) + 2 + _min_json_bytes(part) for key, part in fields
        )
    if node["type"] == "array":
        return 2 + node.get("minItems", 0) * (_min_json_bytes(node["items"]) + 1)
    if node["type"] == "string":
        return 2 + int(node.get("minLength", 0))
    return 32  # a number, a boolean, null
