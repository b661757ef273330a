"""The operations that generators ask of the models.

An operation says all that the models need and nothing of how they are held, so that it can be sent
to the process that owns the device. Arrays, pictures and errors of a result are those of the
modules named here. No torch: a generator imports this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from models.diffusion.requests import DiffusionRequest, InvalidImages
from models.diffusion.resolve import required_capability
from models.diffusion.video.requests import GeneratedVideo, VideoRequest
from models.inference.inference import Operation
from models.mesh.mesh import Mesh, MeshRequest
from models.profiles.load import Capability
from models.speech.speech import Speech, SpeechRequest
from models.vision.human_parsing import HumanParse
from models.vision.likeness import Embedding, PersonLook
from models.writing.requests import TextRequest, WriterResult


@dataclass(frozen=True)
class Draw(Operation[list[Image]]):
    """Draw the pictures of ``request``, RGB; reports ``DrawingProgress``.

    See :meth:`models.diffusion.image_pipeline.ImagePipeline.generate`.
    """

    request: DiffusionRequest

    @property
    def capability(self) -> Capability | None:
        try:
            return required_capability(self.request)
        except InvalidImages:
            return None  # running it says so


@dataclass(frozen=True)
class GenerateVideo(Operation[GeneratedVideo], capability=Capability.IMAGE_TO_VIDEO):
    """Generate the frames of ``request``; reports ``Progress``.

    See :meth:`models.diffusion.video.pipeline.ImageToVideo.generate`.
    """

    request: VideoRequest


@dataclass(frozen=True, eq=False)
class ParsePerson(Operation[HumanParse], capability=Capability.HUMAN_PARSING):
    """Label every pixel of a person's photo, see :mod:`models.vision.human_parsing`."""

    image: Image


@dataclass(frozen=True, eq=False)
class EstimateDepth(Operation[npt.NDArray[np.float32]], capability=Capability.DEPTH):
    """Nearness of every pixel: float32 (height, width), 0 farthest, 1 nearest."""

    image: Image


@dataclass(frozen=True, eq=False)
class GenerateMesh(Operation[Mesh], capability=Capability.MESH):
    """Generate a mesh of unit size; reports ``Progress``. See :mod:`models.mesh.shap_e`."""

    request: MeshRequest


@dataclass(frozen=True, eq=False)
class LookAtPerson(Operation[PersonLook], capability=Capability.LIKENESS):
    """Embed the head or face that a picture shows, or say why it is unfit as a reference."""

    image: Image


@dataclass(frozen=True, eq=False)
class ComparePerson(Operation[float], capability=Capability.LIKENESS):
    """Score how alike the person of ``image`` looks to ``reference``: 0..1, 0 without a head."""

    reference: Embedding
    image: Image


@dataclass(frozen=True)
class LikenessThreshold(Operation[float], capability=Capability.LIKENESS):
    """The score below which a generated picture should be generated again."""


@dataclass(frozen=True, eq=False)
class Upscale(Operation[Image], capability=Capability.UPSCALE):
    """Enlarge a picture by ``factor``, RGB; reports ``Progress``.

    See :meth:`models.vision.upscale.Upscaler.upscale`.
    """

    image: Image
    factor: int


@dataclass(frozen=True)
class Speak(Operation[Speech], capability=Capability.SPEECH):
    """Narrate a text; reports ``Progress``. See :meth:`models.speech.narrator.Narrator.speak`."""

    request: SpeechRequest


@dataclass(frozen=True)
class Write(Operation[WriterResult], capability=Capability.TEXT):
    """Write a text by a schema; reports ``Progress``.

    See :meth:`models.writing.writer.Writer.write`.
    """

    request: TextRequest
