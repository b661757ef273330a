"""``Inference``: how a generator reaches the models, wherever they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Generic, TypeAlias, TypeVar

from models.profiles.load import Capability

if TYPE_CHECKING:
    from PIL.Image import Image

    from models.profiles.load import Profile

R = TypeVar("R")


class Operation(Generic[R]):
    """Base of what generators ask of the models; ``R`` is what it returns."""

    _capability: ClassVar[Capability | None] = None

    def __init_subclass__(cls, capability: Capability | None = None) -> None:
        super().__init_subclass__()
        cls._capability = capability or cls._capability

    @property
    def capability(self) -> Capability | None:
        """The capability of the profile whose model runs it; ``None`` if that is not known."""
        return self._capability


@dataclass(frozen=True)
class LoadedModels:
    """The ``capabilities`` whose models are in memory or on their way there.

    The model of one in ``fitting`` has room beside them; any other's would take the place of a
    loaded one. ``load_seconds`` is how long a model took to load when it last was.
    """

    capabilities: frozenset[Capability] = frozenset()
    fitting: frozenset[Capability] = frozenset()
    load_seconds: Mapping[Capability, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` parts are made: steps, tiles, sentences, tokens."""

    done: int
    total: int


@dataclass(frozen=True, eq=False)
class DrawingProgress:
    """Picture ``image_index`` has made ``done`` of ``total`` denoising steps.

    ``preview`` is the picture so far, RGB, if somebody watches the job; a second passes between two
    of them.
    """

    image_index: int
    done: int
    total: int
    preview: Image | None = None


Event: TypeAlias = DrawingProgress | Progress


@dataclass(frozen=True)
class ModelLoad:
    """The operation waits for the model ``key``; with ``seconds``, it was loaded in that time."""

    key: str
    seconds: float | None = None


OnEvent = Callable[[Event], None]


OnModelLoad = Callable[[ModelLoad], None]


def ignore_load(load: ModelLoad) -> None:
    """For operations whose loads of models nobody hears of."""


def ignore_event(event: Event) -> None:
    """For operations whose progress nobody follows."""


@dataclass(frozen=True)
class Caller:
    """For whom operations are run: the order in which they share the device.

    ``user`` is who shares it fairly with others, ``label`` the name in metrics, such as the
    generator's, ``job`` the id of the job. A ``suspect`` was at work when its device was lost, and
    runs alone. ``traceparent`` is the span (W3C) that the operations belong to.
    """

    user: str = ""
    label: str = ""
    job: str = ""
    suspect: bool = False
    traceparent: str | None = None


NOBODY = Caller()


class Inference(ABC):
    """The models of a profile. Every method may be called from any thread."""

    @property
    @abstractmethod
    def profile(self) -> Profile:
        """The profile whose models these are."""

    @property
    def known_profile(self) -> Profile | None:
        """The profile, ``None`` where it would have to be waited for."""
        return self.profile

    @abstractmethod
    def run(self, operation: Operation[R], on_event: OnEvent = ignore_event) -> R:
        """Run ``operation`` and return its result.

        ``on_event`` is called with its progress, from one or several threads; an exception that
        it raises ends the operation and is raised here. Errors are those of the operation.
        """

    @abstractmethod
    def memory_plans(self) -> Mapping[str, str]:
        """The memory plan of each loaded model, by the model's key in the profile or cache."""

    def loaded_models(self) -> LoadedModels:
        """Which models are in memory, for who chooses among several of these."""
        return LoadedModels()

    def bind(
        self,
        caller: Caller,
        check: Callable[[], object] = lambda: None,
        on_load: OnModelLoad = ignore_load,
    ) -> Inference:
        """Return the same models, at work for ``caller``.

        ``check`` is called while an operation waits, and raises to end it. ``on_load``, which
        must not raise, is told of the models that it waits for.
        """
        return self
