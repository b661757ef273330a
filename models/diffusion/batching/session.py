"""One request's diffusers pipeline over shared weights, with its networks run by the engine."""

from __future__ import annotations

import copy
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from models.diffusion.batching.call import Call, count_rows
from models.diffusion.batching.encoder_cache import EncoderCache
from models.diffusion.batching.engine import Engine, without_gradients
from models.diffusion.clone import clone_pipeline
from models.memory.plans import pipeline_components

# Networks that are called at every step, so batching them is worthwhile.
BATCHED_NETWORKS = ("unet", "transformer", "controlnet")
# Methods of pipelines that ask their encoders; what they return is cached.
ENCODINGS = ("encode_prompt", "encode_image")
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")


class SessionCanceled(Exception):
    """The request was canceled; its pipeline ends at the next step."""


class PipelineSession:
    """One request on the engine; call its ``pipeline`` like any diffusers pipeline."""

    def __init__(
        self,
        engine: Engine,
        variant: Any,
        encoder_cache: EncoderCache,
        priority: int,
        calls: int,
        flow: str,
        label: str,
    ) -> None:
        self._engine, self._steps_left = engine, calls
        self._priority, self._flow, self._label = priority, flow, label
        self._canceled = threading.Event()
        self.pipeline: Any = clone_pipeline(variant)
        self._device = _device_of(variant)
        _compute_on(self.pipeline, self._device)
        components = pipeline_components(self.pipeline)
        encoders = [part for name, part in components.items() if "encoder" in name]
        for name, part in components.items():
            if name == "vae":
                self.pipeline.vae = self._redirected_autoencoder(part)
            elif name in BATCHED_NETWORKS:
                self._redirect(name, self._batched_forward(part))
            else:  # encoders, a safety checker: the engine's thread computes all there is
                self._redirect(name, self._single_forward(part))
        for name in ENCODINGS:
            if (encode := getattr(self.pipeline, name, None)) is not None:
                kind = f"{type(self.pipeline).__name__}.{name}"
                setattr(self.pipeline, name, encoder_cache.cached(encoders, kind, encode))
        for name in TOKENIZERS:
            if (tokenizer := getattr(self.pipeline, name, None)) is not None:
                setattr(self.pipeline, name, _locked_tokenizer(tokenizer, engine.tokenizer_lock))

    def cancel(self) -> None:
        """Cancel the request: a waiting call ends at once, a running one when it is computed."""
        self._canceled.set()
        self._engine.drop(self)

    def raise_if_canceled(self) -> None:
        """Raise :class:`SessionCanceled` if the request was canceled."""
        if self._canceled.is_set():
            raise SessionCanceled

    def _redirect(self, name: str, forward: Callable[..., Any]) -> None:
        copied = _shallow_copy(getattr(self.pipeline, name), self._device)
        copied.forward = forward
        setattr(self.pipeline, name, copied)

    def _redirected_autoencoder(self, real: Any) -> Any:
        copied = _shallow_copy(real, self._device)
        # It may be of another precision than the rest, see ``float32_autoencoder``.
        encode = self._single_forward(real.encode)
        decode = self._single_forward(real.decode, shared=True)
        copied.encode = lambda picture, *rest, **more: encode(picture.to(real.dtype), *rest, **more)
        copied.decode = lambda latents, *rest, **more: decode(latents.to(real.dtype), *rest, **more)
        return copied

    def _batched_forward(self, network: Callable[..., Any]) -> Callable[..., Any]:
        """Return a ``forward`` that submits calls of a network that is called at every step."""

        def forward(*arguments: Any, **options: Any) -> Any:
            call = self._call(network, arguments, options)
            call.steps_left = self._steps_left
            output = self._submit(call)
            self._steps_left = max(1, self._steps_left - 1)
            return output

        return forward

    def _single_forward(
        self, network: Callable[..., Any], shared: bool = False
    ) -> Callable[..., Any]:
        """Return a ``forward`` that submits calls of an encoder or the decoder."""
        forward_of = getattr(network, "forward", network)
        takes_logits = "logits_to_keep" in inspect.signature(forward_of).parameters

        def forward(*arguments: Any, **options: Any) -> Any:
            if shared:
                options.pop("generator", None)  # no autoencoder draws random numbers to decode
            if takes_logits:  # those of the whole prompt are 150 MB, and nobody reads them
                options.setdefault("logits_to_keep", 1)
            call = self._call(network, arguments, options)
            call.expects_next_call, call.may_share_batch = False, shared
            return self._submit(call)

        return forward

    def _call(
        self, network: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> Call:
        return Call(
            network,
            arguments,
            options,
            rows=count_rows(arguments, options),
            session=self,
            priority=self._priority,
            flow=self._flow,
            label=self._label,
        )

    def _submit(self, call: Call) -> Any:
        self.raise_if_canceled()
        try:
            return self._engine.call(call)
        except Exception:
            self.raise_if_canceled()
            raise

    def close(self) -> None:
        """End the session; the engine no longer waits for its next call."""
        self._engine.leave_transit(self)


@contextmanager
def open_session(
    engine: Engine,
    variant: Any,
    encoder_cache: EncoderCache,
    *,
    priority: int = 0,
    calls: int = 1,
    flow: str = "",
    label: str = "",
) -> Iterator[PipelineSession]:
    """Open a session for one request; ``calls`` is its number of steps.

    ``flow`` and ``label`` are those of its :class:`Call`. What the thread computes inside the
    ``with`` is in inference mode if the engine's results are.
    """
    session = PipelineSession(engine, variant, encoder_cache, priority, calls, flow, label)
    with without_gradients(_device_of(variant)):
        try:
            yield session
        finally:
            session.close()


@dataclass(frozen=True)
class _ComputesOn:
    """What diffusers reads of a hook: some pipelines ask each network where its inputs belong."""

    execution_device: torch.device


def _shallow_copy(module: Any, device: torch.device) -> Any:
    """Copy the module object over the same weights, without hooks: the original runs them."""
    copied = copy.copy(module)
    for name in ("_forward_hooks", "_forward_pre_hooks"):
        object.__setattr__(copied, name, OrderedDict())
    for name in ("_hf_hook", "_diffusers_hook"):
        copied.__dict__.pop(name, None)
    copied._hf_hook = _ComputesOn(device)
    return copied


def _device_of(variant: Any) -> torch.device:
    """Return where ``variant`` computes.

    Diffusers looks through every module to answer, which takes 2 ms, so it is asked once.
    """
    device: torch.device | None = variant.__dict__.get("_session_device")
    if device is None:
        device = variant.__dict__["_session_device"] = variant._execution_device
    return device


def _compute_on(pipeline: Any, device: torch.device) -> None:
    """Tell ``pipeline`` where its networks compute.

    It would look for their hooks, which are the originals', and at their weights, which may be in
    the host's memory.
    """
    kind = type(pipeline)
    # The subclass keeps the name, because pipelines are told apart by it.
    pipeline.__class__ = type(
        kind.__name__, (kind,), {"_execution_device": device, "__module__": kind.__module__}
    )


def _locked_tokenizer(tokenizer: Any, lock: threading.RLock) -> Any:
    """Return a copy of ``tokenizer`` whose calls are serialized by ``lock``.

    A fast tokenizer keeps padding and truncation as state and sets them at every call, so two calls
    at once would get each other's settings.
    """
    kind = type(tokenizer)

    def locked(name: str) -> Callable[..., Any]:
        method = getattr(kind, name)

        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            with lock:
                return method(self, *arguments, **options)

        return call

    names = ("__call__", "encode", "tokenize")
    locked_kind = type(kind.__name__, (kind,), {name: locked(name) for name in names})
    copied: Any = object.__new__(locked_kind)
    copied.__dict__.update(tokenizer.__dict__)
    return copied
