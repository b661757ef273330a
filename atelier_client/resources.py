"""How a flow becomes a method of both clients: one that blocks and one that is awaited."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

from atelier_client.calls import Flow
from atelier_client.drivers import AsyncDriver, SyncDriver

P = ParamSpec("P")
T = TypeVar("T")
# The driver says which of the two a resource's methods are.
D = TypeVar("D", bound=SyncDriver | AsyncDriver)


class Resource(Generic[D]):
    """A group of methods, as ``client.jobs``."""

    def __init__(self, driver: D) -> None:
        self._driver = driver


class Operation(Generic[P, T]):
    """A method that runs a flow to its end and returns its result."""

    def __init__(self, flow: Callable[P, Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, resource: Resource[SyncDriver], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncDriver], owner: type
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, resource: None, owner: type) -> Self: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        if resource is None:
            return self
        return _bound(self._flow, resource._driver.run)


class Stream(Generic[P, T]):
    """A method that returns an iterator of what a flow emits."""

    def __init__(self, flow: Callable[P, Flow[None]], item: type[T] | None = None) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(
        self, resource: Resource[SyncDriver], owner: type
    ) -> Callable[P, Generator[T, None, None]]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncDriver], owner: type
    ) -> Callable[P, AsyncGenerator[T, None]]: ...
    @overload
    def __get__(self, resource: None, owner: type) -> Self: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        if resource is None:
            return self
        return _bound(self._flow, resource._driver.iterate)


def _bound(flow: Callable[P, Flow[Any]], take: Callable[[Flow[Any]], Any]) -> Callable[P, Any]:
    @functools.wraps(flow)
    def method(*given: P.args, **named: P.kwargs) -> Any:
        return take(flow(*given, **named))

    return method
