"""Requests and the steps of which every call of this package is made, without input or output.

What a method does is written once, as a *flow*: a generator that yields steps (send this, read
on, sleep) and is given their results. ``drivers`` takes the steps, one way for ``Client`` and
another for ``AsyncClient``. httpx does the same for authentication.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A request before it is sent.

    ``url`` is a path of the service, or a whole signed link, which is sent without the key.
    Parameters of None are left out. ``file`` is a name and a content, sent as a form with
    ``form``. The body of a ``stream`` is read piece by piece. A call that is not ``repeatable`` is
    sent once.
    """

    method: str
    url: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] = field(default_factory=dict)
    file: tuple[str, bytes] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: bool = False
    repeatable: bool = True

    @property
    def is_for_service(self) -> bool:
        return self.url.startswith("/")


def creation(url: str, body: Any, key: str | None = None) -> Call:
    """A POST that makes something: its ``Idempotency-Key`` has it made once, however often it is
    sent."""
    headers = {"Idempotency-Key": key or str(uuid.uuid4())}
    return Call("POST", url, json=body, headers=headers)


@dataclass(frozen=True)
class Body:
    """The body of an answer that is read while it comes."""

    response: httpx.Response
    chunks: Iterator[bytes] | AsyncIterator[bytes]


@dataclass(frozen=True)
class Send:
    """Send a call once. Gives ``httpx.Response``, or throws ``httpx.TransportError``."""

    call: Call


@dataclass(frozen=True)
class Exchange:
    """Send a call until it works, as far as retries go. Gives ``httpx.Response``, or throws
    ``AtelierError``."""

    call: Call


@dataclass(frozen=True)
class Open:
    """The same for a stream. Gives ``Body``, which is closed when the flow has ended."""

    call: Call


@dataclass(frozen=True)
class Read:
    """Gives the next bytes, empty at the end, or throws ``httpx.TransportError``."""

    body: Body


@dataclass(frozen=True)
class Sleep:
    """Wait that many seconds."""

    seconds: float


@dataclass(frozen=True)
class Emit:
    """Hand an item to whoever iterates."""

    item: Any


@dataclass(frozen=True)
class End(Generic[T]):
    """What a flow returned."""

    value: T


Step: TypeAlias = Send | Exchange | Open | Read | Sleep | Emit
Flow: TypeAlias = Generator[Step, Any, T]


def advance(flow: Flow[T], reply: Any = None) -> Step | End[T]:
    """Give the flow the result of its last step, an error of the transport too, and return its
    next one."""
    try:
        return flow.throw(reply) if isinstance(reply, Exception) else flow.send(reply)
    except StopIteration as end:
        return End(end.value)


class Answer(BaseModel):
    """Base of the answers. Fields that a later version of the service adds are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Page(Answer, Generic[T]):
    """A part of a list; ``next``, given as ``after``, leads to the next one."""

    data: list[T]
    has_more: bool
    next: str | None


A = TypeVar("A", bound=Answer)


def ask(call: Call, answer: type[A]) -> Flow[A]:
    """Send a call and return its answer."""
    response: httpx.Response = yield Exchange(call)
    return answer.model_validate_json(response.content)


def tell(call: Call) -> Flow[None]:
    """Send a call whose answer has no body."""
    yield Exchange(call)
