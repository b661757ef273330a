"""Step-level continuous batching: many diffusers pipelines, one forward pass.

Every request runs a plain diffusers pipeline of its own, in its own thread, over shared weights.
Where the pipeline calls a network, the call waits for the engine, which lays the calls of several
requests into one batch and hands each its rows back. Requests so join and leave at every step, may
differ in prompt, seed, steps, guidance and scheduler, and each gets what its pipeline alone gives,
because it is its pipeline that computes everything but the networks.

``calls`` batches arguments, ``cost`` measures how many rows pay, ``turns`` says whose calls go
next, ``engine`` is the thread that computes, ``seat`` puts a pipeline on it.
"""

from models.diffusion.batching.engine import Engine, EngineStats
from models.diffusion.batching.session import PipelineSession, SessionCanceled

__all__ = ["Engine", "EngineStats", "PipelineSession", "SessionCanceled"]
