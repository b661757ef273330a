"""Load profiles: the weights, precision and defaults of a class of machine, validated.

A profile is one YAML file in this folder. ``capabilities`` assigns a model and its defaults to each
capability; the models are those of the catalog (:mod:`models.profiles.catalog`), and those that the
profile adds or changes under ``models``. An operator adds models in files of another folder
(:mod:`models.profiles.operator_files`, ``docs/models.md``).
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.profiles.catalog import take_from_catalog
from models.profiles.operator_files import (
    InvalidProfileFile,
    complete_models,
    lay_over,
    operator_files,
    read_mapping,
)

_FOLDER = Path(__file__).parent
_ROOT = _FOLDER.parents[1]

Dtype = Literal["float32", "float16", "bfloat16"]
Pixels = Annotated[int, Field(ge=8, multiple_of=8)]
Megabytes = Annotated[int, Field(ge=0)]


class UnknownProfile(ValueError):
    """No profile has that name."""


class CapabilityMissing(LookupError):
    """The profile has no model for the capability."""


class Capability(StrEnum):
    """The capabilities a profile may offer; generators request them by name."""

    TEXT_TO_IMAGE = "text_to_image"
    IMAGE_TO_IMAGE = "image_to_image"
    INPAINT = "inpaint"
    GARMENT = "garment"  # inpainting with a picture of the garment as image prompt
    IDENTITY = "identity"  # text to image with a picture of the person as image prompt
    CONTROL = "control"  # text to image along edges, depth or a pose
    IMAGE_TO_VIDEO = "image_to_video"
    UPSCALE = "upscale"
    HUMAN_PARSING = "human_parsing"
    LIKENESS = "likeness"  # how alike two people look
    DEPTH = "depth"
    MESH = "mesh"
    SPEECH = "speech"
    TEXT = "text"


class _FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Control = Literal["edges", "depth", "pose"]


class MemoryNeed(_FrozenModel):
    """The memory one model needs at its precision, in MB (2**20 bytes).

    ``components`` are the weights by part, biggest parts named as diffusers names them. Of a
    language model ``embed_tokens`` and an untied ``lm_head``, which no plan quantizes, stand apart;
    those of a pipeline's text encoder are in it, and ``embeddings`` says how much of it they are.
    ``activations`` is the peak above the weights for one request at the capability's default size,
    and ``activations_sliced`` the same with sliced attention and a sliced and tiled VAE.
    """

    components: dict[str, Megabytes]
    embeddings: dict[str, Megabytes] = {}
    activations: Megabytes
    activations_sliced: Megabytes

    @property
    def weights_mb(self) -> int:
        """The weights of all components in MB."""
        return sum(self.components.values())


class Options(_FrozenModel):
    """Options beyond plain eager execution; each costs quality or start-up time."""

    compile: bool = False
    attention: Literal["sdpa", "flash", "cudnn", "math"] = "sdpa"
    quantization: Literal["none", "int8", "nf4"] = "none"
    step_cache: float = Field(default=0.0, ge=0.0, le=1.0)  # first-block cache threshold, 0: off


class Distilled(_FrozenModel):
    """How step-distilled flow matching weights are sampled, by the noise levels of their training.

    ``sigmas`` are the levels before each step, from 1 (noise) downwards; their number is that of
    the steps. ``renoise`` is the sampler of distribution matching distillation (Yin et al. 2024,
    arXiv:2405.14867): each step predicts the end, which is given new noise for the next one.
    """

    sigmas: Annotated[tuple[float, ...], Field(min_length=1)]
    renoise: bool = False


class Model(_FrozenModel):
    """One set of weights: its source, its license and the class that loads it.

    Exactly one of ``path`` and ``hub_id`` is set. A hub id needs its ``revision`` (a commit, 40 hex
    digits), so that the tested weights are the ones that are loaded.

    A model with ``replaces`` or ``fused_into`` becomes part of the pipeline of ``adapter_of`` when
    that is loaded: it takes the place of a component, or is a LoRA that is added to its weights.
    """

    name: str = ""  # the name that results state; the default is the key in the profile
    path: Path | None = None  # relative to the repository
    hub_id: str | None = None
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    # A checkpoint of one file (.safetensors), as Civitai gives them. It stands in for the source's
    # weights; configurations and tokenizers are still the source's.
    single_file: Path | None = None
    subfolder: str = ""
    files: tuple[str, ...] = ()  # glob patterns to fetch; empty: every safetensors, json and txt
    variant: str | None = None
    licence: str
    commercial: bool
    loader: str  # the diffusers, transformers or OpenCV class, or one of BUILT_IN_LOADERS
    adapter_of: str | None = None  # key of the model whose pipeline this is loaded into
    replaces: str | None = None  # the component of that pipeline
    fused_into: str | None = None  # the component of that pipeline, of a LoRA
    loaded_with: tuple[Model, ...] = ()  # those that replace this one's parts or are fused into it
    distilled: Distilled | None = None
    weight_name: str | None = None  # the adapter's own file, or the ONNX file
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None  # of the ONNX file
    folders: dict[str, str] = {}  # components in another folder than that of their name
    dtype: Dtype = "float32"
    # Of the files that are fetched, in MB; weights may be stored at another precision.
    download_mb: Megabytes | None = None
    memory: MemoryNeed
    options: Options = Options()

    @property
    def source(self) -> str:
        """The argument of ``from_pretrained``: a folder or a hub id."""
        return str(_ROOT / self.path) if self.path is not None else str(self.hub_id)

    @property
    def local_path(self) -> bool:
        """Whether the weights are in a folder of the repository."""
        return self.path is not None

    @property
    def is_built_in(self) -> bool:
        """Whether the model is a backend of the code without weights."""
        return self.path is None and self.hub_id is None

    @property
    def is_onnx(self) -> bool:
        """Whether the weights are one ONNX file, pinned by :attr:`sha256`."""
        return self.loader in ONNX_LOADERS

    @model_validator(mode="after")
    def _check_single_source(self) -> Self:
        if self.path is not None and self.hub_id is not None:
            raise ValueError("a model has a path or a hub_id, not both")
        if self.hub_id is not None and self.revision is None:
            raise ValueError(f"{self.hub_id} needs a revision: a commit, 40 hex digits")
        if self.is_built_in and self.loader not in BUILT_IN_LOADERS:
            raise ValueError(f"{self.loader} needs a path or a hub_id")
        if self.loader == LORA and (self.adapter_of is None or self.weight_name is None):
            raise ValueError("a LoRA says adapter_of and weight_name")
        if self.is_onnx and not (self.sha256 and str(self.weight_name).endswith(".onnx")):
            raise ValueError(f"{self.loader} reads one ONNX file: say its weight_name and sha256")
        if self.sha256 is not None and not self.is_onnx:
            raise ValueError("only an ONNX file has a sha256; safetensors are checked by the hub's")
        if self.fused_into is not None and self.loader != LORA:
            raise ValueError("only a LoRA is fused into a component; a network replaces it")
        if self.replaces is not None and (self.loader == LORA or self.adapter_of is None):
            raise ValueError("what replaces a component is a network, and says adapter_of")
        return self


LORA = "lora"  # the loader of a LoRA has no class: the adapted pipeline reads the file
KOKORO = "kokoro"  # a voice whose weights are packages
BUILT_IN_LOADERS = (KOKORO, "espeak-ng", "outline", "silhouette", "lanczos")
# Classes of OpenCV. An ONNX file is a graph of named operations: it holds no code that could run.
ONNX_LOADERS = ("FaceDetectorYN", "FaceRecognizerSF")


class CapabilityConfig(_FrozenModel):
    """One capability of a profile: its model and its defaults.

    ``parts`` are the other models that it takes, by their role: a parser made of a detector
    (``model``) and a segmenter. Sizes are pixels. Fields that do not apply to a capability (steps
    of a voice) stay ``None``.
    """

    model: str
    parts: dict[str, str] = {}
    width: Pixels | None = None
    height: Pixels | None = None
    min_size: Pixels | None = None
    max_size: Pixels | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    guidance: Annotated[float, Field(ge=0)] | None = None
    scheduler: str | None = None  # a name of models.diffusion.schedulers; None: the weights' own
    strength: Annotated[float, Field(gt=0, le=1)] | None = None
    scale: Annotated[float, Field(ge=0, le=2)] | None = None  # of an adapter
    frames: Annotated[int, Field(ge=1)] | None = None
    fps: Annotated[int, Field(ge=1)] | None = None
    voice: str | None = None
    controls: tuple[Control, ...] = ()  # the kinds of control maps that a ControlNet accepts

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        sides = [side for side in (self.width, self.height) if side is not None]
        if sides and (self.min_size is None or self.max_size is None):
            raise ValueError("a size needs min_size and max_size beside it")
        for side in sides:
            if not (self.min_size or 0) <= side <= (self.max_size or side):
                raise ValueError(f"the default size {side} is outside min_size..max_size")
        return self


class RestrictedConfig(CapabilityConfig):
    """A capability by a model whose license forbids commercial use; ``worth`` says what it adds."""

    worth: str


class Profile(_FrozenModel):
    """One class of machine; ``vram_gb`` is the smallest GPU it is made for (0: no GPU).

    ``restricted`` are better models for some capabilities, whose licenses forbid commercial use:
    :func:`load_profile` puts them in the place of the others where the operator permits it.
    """

    name: str
    title: str
    device: Literal["cpu", "cuda"]
    vram_gb: int = Field(default=0, ge=0)
    models: dict[str, Model]
    capabilities: dict[Capability, CapabilityConfig]
    restricted: dict[Capability, RestrictedConfig] = {}

    def capability_config(self, capability: Capability) -> CapabilityConfig:
        """Return the configuration of ``capability``.

        Raises:
            CapabilityMissing: the profile has no model for it.
        """
        try:
            return self.capabilities[capability]
        except KeyError:
            raise CapabilityMissing(
                f"the profile {self.name!r} has no model for {capability.value}"
            ) from None

    def model(self, capability: Capability) -> Model:
        """Return the model of ``capability``.

        Raises:
            CapabilityMissing: the profile has no model for it.
        """
        return self.models[self.capability_config(capability).model]

    def part(self, capability: Capability, role: str) -> Model:
        """Return the model that plays ``role`` beside the model of ``capability``.

        Raises:
            CapabilityMissing: the profile has no model for the capability, or none for the role.
        """
        parts = self.capability_config(capability).parts
        if role not in parts:
            raise CapabilityMissing(
                f"the profile {self.name!r} names no {role} for {capability.value}"
            )
        return self.models[parts[role]]

    def loras(self, base: str) -> dict[str, Model]:
        """Return the LoRAs for the model of key ``base``, by the name that requests use."""
        return {
            key: model
            for key, model in self.models.items()
            if model.loader == LORA and model.adapter_of == base and model.fused_into is None
        }

    @model_validator(mode="before")
    @classmethod
    def _take_from_catalog(cls, data: object) -> object:
        """Take the models from the catalog, and give each without a name its key as name."""
        if isinstance(data, dict) and isinstance(data.get("models", {}), dict | None):
            return {**data, "models": take_from_catalog(data)}
        return data

    @model_validator(mode="after")
    def _check_model_references(self) -> Self:
        for capability, use in self.capabilities.items():
            for key in (use.model, *use.parts.values()):
                if key not in self.models:
                    raise ValueError(f"{capability.value} names the unknown model {key!r}")
        for key, model in self.models.items():
            if model.adapter_of is not None and model.adapter_of not in self.models:
                raise ValueError(f"{key} adapts the unknown model {model.adapter_of!r}")
        used = {use.model for use in self.capabilities.values()}
        used |= {key for use in self.capabilities.values() for key in use.parts.values()}
        used |= {
            key for key, model in self.models.items() if model.loader == LORA or model.replaces
        }
        used |= {model.adapter_of for model in self.models.values() if model.adapter_of}
        if unused := sorted(set(self.models) - used):
            raise ValueError(f"no capability uses {', '.join(unused)}")
        return self


def noncommercial_weights_allowed() -> bool:
    """Whether the operator said that the service earns nothing: ALLOW_NONCOMMERCIAL_WEIGHTS=1."""
    return os.environ.get("ALLOW_NONCOMMERCIAL_WEIGHTS") == "1"


def profile_names() -> list[str]:
    """List the names of all profiles, the operator's included, in alphabetical order.

    Raises:
        InvalidProfileFile: see :func:`models.profiles.operator_files.operator_files`.
    """
    return sorted({file.stem for file in _FOLDER.glob("*.yaml")} | set(operator_files()))


def load_profile(name: str) -> Profile:
    """Load the profile ``name``, with what the operator's file of that name adds.

    Raises:
        UnknownProfile: no profile has that name; the message lists all names.
        InvalidProfileFile: the operator's file is not a valid profile; the message says where.
        pydantic.ValidationError: the shipped file is not a valid profile.
    """
    shipped, added = _FOLDER / f"{name}.yaml", operator_files().get(name)
    if added is None:
        if name not in profile_names():
            raise UnknownProfile(
                f"there is no profile {name!r}; there are: {', '.join(profile_names())}"
            )
        return Profile.model_validate(_with_restricted(read_mapping(shipped)))
    given = read_mapping(added)
    base_name = given.pop("extends", name if shipped.exists() else None)
    base: dict[str, object] = {}
    if base_name is not None:
        if not (file := _FOLDER / f"{base_name}.yaml").exists():
            raise InvalidProfileFile(f"{added} extends {base_name!r}, which is no shipped profile")
        base = read_mapping(file)
    content = lay_over(base, {"name": name, **complete_models(given, base)})
    try:
        return Profile.model_validate(_with_restricted(content))
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'the profile'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise InvalidProfileFile(f"{added}: {places}") from error


def _with_restricted(content: dict[str, Any]) -> dict[str, Any]:
    """``content`` of a file with its restricted models in place, where they are allowed."""
    if not noncommercial_weights_allowed():
        return content
    restricted = {
        capability: {key: value for key, value in use.items() if key != "worth"}
        for capability, use in content.get("restricted", {}).items()
    }
    capabilities = {**content.get("capabilities", {}), **restricted}
    return {**content, "capabilities": capabilities, "restricted": {}}
