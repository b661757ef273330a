"""Step-level continuous batching: many diffusers pipelines, one forward pass.

Every request runs its own diffusers pipeline in its own thread, over shared weights. When the
pipeline calls a network, the call waits for the engine, which batches the calls of several requests
and returns to each its rows. Requests can therefore join and leave at every step and differ in
prompt, seed, steps, guidance and scheduler. Each gets the result of its pipeline alone, because
the pipeline computes everything except the networks.

``call`` batches arguments, ``cost`` measures the best batch size and number of lanes, ``demand``
counts what is asked for, ``fair_queue`` chooses the calls of the next batch, ``engine`` has the
computing threads, ``stats`` says who shared batches, and ``session`` connects a pipeline to it.
"""

from models.diffusion.batching.engine import Engine, lanes_for
from models.diffusion.batching.session import PipelineSession, SessionCanceled
from models.diffusion.batching.stats import EngineStats

__all__ = ["Engine", "EngineStats", "PipelineSession", "SessionCanceled", "lanes_for"]
