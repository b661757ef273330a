"""The training loop of every model of the pack: timed, averaged, checkpointed, resumable."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

logger = logging.getLogger(__name__)

LOG_SECONDS = 30.0
CHECKPOINT_SECONDS = 120.0
EMA = 0.998

Loss = Callable[[torch.Generator], torch.Tensor]


class Training:
    """Minimizes ``loss`` over ``modules`` for some seconds of training.

    The learning rate warms up over 100 steps, stays constant, and falls to 2 % over the second
    half. :meth:`averaged` returns an exponential moving average of the weights. An interrupted run
    resumes from its last checkpoint.
    """

    def __init__(
        self,
        loss: Loss,
        modules: Sequence[tuple[torch.nn.Module, float]],
        seconds: float,
        checkpoint: Path,
    ) -> None:
        """Set up training; ``modules`` are pairs of a module and its peak learning rate.

        Frozen weights are not trained.
        """
        self._loss, self._seconds, self._checkpoint = loss, seconds, checkpoint
        self._modules = [module for module, _ in modules]
        self._groups = [
            {"params": [w for w in module.parameters() if w.requires_grad], "peak": peak}
            for module, peak in modules
        ]
        self._weights = [weight for group in self._groups for weight in group["params"]]  # type: ignore[attr-defined]
        self._average = [weight.detach().clone() for weight in self._weights]
        self._optimizer = torch.optim.AdamW(
            self._groups, lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3, foreach=True
        )
        self._generator = torch.Generator().manual_seed(1)
        self.spent, self.steps = 0.0, 0

    @property
    def done(self) -> float:
        """The fraction of the time that is used up, 0..1."""
        return min(1.0, self.spent / self._seconds)

    def run(self, on_checkpoint: Callable[[], None] = lambda: None) -> None:
        """Train to the end; ``on_checkpoint`` is called after each checkpoint and at the end."""
        if self._checkpoint.exists():
            self._resume()
        for module in self._modules:
            module.train()
        name, logged, saved = self._checkpoint.stem, self.spent, self.spent
        total, count = 0.0, 0
        while self.done < 1:
            started = time.monotonic()
            total, count = total + self._step(), count + 1
            self.spent += time.monotonic() - started
            if self.spent - logged > LOG_SECONDS:
                done, mean = 100 * self.done, total / count
                logger.info("%s: step %d (%.0f%%), loss %.4f", name, self.steps, done, mean)
                logged, total, count = self.spent, 0.0, 0
            if self.spent - saved > CHECKPOINT_SECONDS:
                self._save()
                on_checkpoint()
                saved = self.spent
        self._save()
        on_checkpoint()
        logger.info("%s: done, %d steps in %.0f s", name, self.steps, self.spent)

    def averaged(self, module: torch.nn.Module) -> torch.nn.Module:
        """Return a copy of a trained module with the averaged weights, in evaluation mode."""
        means = {id(w): mean for w, mean in zip(self._weights, self._average, strict=True)}
        copied = copy.deepcopy(module)
        for trained, target in zip(module.parameters(), copied.parameters(), strict=True):
            if id(trained) in means:
                target.data.copy_(means[id(trained)])
        return copied.eval()

    def _step(self) -> float:
        cool = 1.0 if self.done < 0.5 else max(0.02, (1 - self.done) / 0.5)
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * min(1.0, (self.steps + 1) / 100) * cool
        loss = self._loss(self._generator)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        self._optimizer.step()
        self.steps += 1
        decay = min(EMA, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._average, [w.detach() for w in self._weights], 1 - decay)
        return loss.item()

    def _save(self) -> None:
        fresh = self._checkpoint.with_suffix(".new")
        torch.save(
            {
                "weights": [weight.detach() for weight in self._weights],
                "average": self._average,
                "optimizer": self._optimizer.state_dict(),
                "spent": self.spent,
                "steps": self.steps,
            },
            fresh,
        )
        fresh.replace(self._checkpoint)

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        for weight, saved in zip(self._weights, state["weights"], strict=True):
            weight.data.copy_(saved)
        self._average = list(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.spent, self.steps = state["spent"], state["steps"]
        self._generator.manual_seed(self.steps)
