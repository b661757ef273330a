"""A request's place on the engine: a diffusers pipeline of its own over shared weights."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from models.diffusion.batching.call import Call, count_rows
from models.diffusion.batching.encoder_cache import EncoderCache
from models.diffusion.batching.engine import Engine
from models.diffusion.clone import clone_pipeline

# Networks that are called at every step and so are worth a batch.
BATCHED_NETWORKS = ("unet", "transformer", "controlnet")
# Called once a request, each result remembered.
ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3", "image_encoder")
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")


class SessionCanceled(Exception):
    """The request was cancelled; its pipeline ends at the next step."""


class PipelineSession:
    """One request on the engine. ``pipeline`` is its own; call it as any diffusers pipeline."""

    def __init__(
        self, engine: Engine, variant: Any, encoder_cache: EncoderCache, priority: int, calls: int
    ) -> None:
        self._engine, self._priority, self._steps_left = engine, priority, calls
        self._in_transit = False
        self._canceled = threading.Event()
        self.pipeline: Any = clone_pipeline(variant)
        for name in BATCHED_NETWORKS:
            self._redirect(name, self._batched_forward)
        for name in ENCODERS:
            self._redirect(
                name, lambda real: encoder_cache.cached(real, self._single_forward(real))
            )
        self._redirect_autoencoder()
        for name in TOKENIZERS:
            if (tokenizer := getattr(self.pipeline, name, None)) is not None:
                setattr(self.pipeline, name, _locked_tokenizer(tokenizer, engine.tokenizer_lock))

    def cancel(self) -> None:
        """End the request: a waiting call is answered at once, a running one at its end."""
        self._canceled.set()
        self._engine.drop(self)

    def raise_if_canceled(self) -> None:
        """Raise Canceled if the request was cancelled."""
        if self._canceled.is_set():
            raise SessionCanceled

    def _redirect(self, name: str, to: Callable[[Any], Callable[..., Any]]) -> None:
        real = getattr(self.pipeline, name, None)
        if real is not None:
            own = _shallow_copy(real)
            own.forward = to(real)
            setattr(self.pipeline, name, own)

    def _redirect_autoencoder(self) -> None:
        real = getattr(self.pipeline, "vae", None)
        if real is not None:
            own = _shallow_copy(real)
            own.encode = self._single_forward(real.encode)
            own.decode = self._single_forward(real.decode, shared=True)
            self.pipeline.vae = own

    def _batched_forward(self, network: Callable[..., Any]) -> Callable[..., Any]:
        """What stands for a network that is called at every step."""

        def forward(*arguments: Any, **options: Any) -> Any:
            rows = count_rows(arguments, options)
            call = Call(network, arguments, options, rows, self, self._priority, self._steps_left)
            made = self._submit(call)
            self._in_transit = True
            self._steps_left = max(1, self._steps_left - 1)
            return made

        return forward

    def _single_forward(
        self, network: Callable[..., Any], shared: bool = False
    ) -> Callable[..., Any]:
        """What stands for an encoder or the decoder."""

        def forward(*arguments: Any, **options: Any) -> Any:
            if shared:
                options.pop("generator", None)  # decoding draws nothing, in any autoencoder
            rows = count_rows(arguments, options)
            call = Call(network, arguments, options, rows, self, self._priority)
            call.expects_next_call, call.may_share_batch = False, shared
            return self._submit(call)

        return forward

    def _submit(self, call: Call) -> Any:
        self.raise_if_canceled()
        self._leave_transit()
        try:
            return self._engine.call(call)
        except Exception:
            self.raise_if_canceled()
            raise

    def _leave_transit(self) -> None:
        """Tell the engine that this seat is no longer between two steps."""
        if self._in_transit:
            self._in_transit = False
            self._engine.set_in_transit(-1)

    def close(self) -> None:
        self._leave_transit()


@contextmanager
def open_session(
    engine: Engine, variant: Any, encoder_cache: EncoderCache, *, priority: int = 0, calls: int = 1
) -> Iterator[PipelineSession]:
    """A seat for the time of one request. ``calls`` is how many steps it will take."""
    seat = PipelineSession(engine, variant, encoder_cache, priority, calls)
    try:
        yield seat
    finally:
        seat.close()


def _shallow_copy(module: Any) -> Any:
    """A second module object over the same weights, without hooks: the real one runs them."""
    own = copy.copy(module)
    for name in ("_forward_hooks", "_forward_pre_hooks"):
        object.__setattr__(own, name, OrderedDict())
    for name in ("_hf_hook", "_diffusers_hook"):
        own.__dict__.pop(name, None)
    return own


def _locked_tokenizer(tokenizer: Any, lock: threading.RLock) -> Any:
    """The same tokenizer, whose calls wait for one another.

    A fast tokenizer keeps padding and truncation as state and sets them at every call: two calls
    at once get one another's.
    """
    kind = type(tokenizer)

    def locked(name: str) -> Callable[..., Any]:
        method = getattr(kind, name)

        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            with lock:
                return method(self, *arguments, **options)

        return call

    names = ("__call__", "encode", "tokenize")
    kind_of_own = type(kind.__name__, (kind,), {name: locked(name) for name in names})
    own: Any = object.__new__(kind_of_own)
    own.__dict__.update(tokenizer.__dict__)
    return own
