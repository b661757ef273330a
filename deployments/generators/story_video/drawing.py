"""The pictures of the scenes: kept, of the earlier film, or drawn from their main character."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL.Image import Image

from deployments.contract import BadInput, Context
from deployments.generators.common.progress import ProgressReporter
from deployments.generators.story_video.casting import CastMember, prompt_roles, prompt_shots
from deployments.generators.story_video.models import StoryModels, derive_seed
from deployments.generators.story_video.settings import EarlierFilm, StorySettings
from deployments.generators.story_video.spec import StoryRequest
from deployments.generators.story_video.storyboard import Storyboard
from models.diffusion.requests import DiffusionRequest
from models.diffusion.resolve import required_capability, resolve_request
from models.diffusion.sizes import size_of_aspect
from models.inference.operations import ComparePerson, Draw, LikenessThreshold
from models.media.images import read_image
from models.media.png import ImageMetadata, encode_png
from models.storyfilm.prompts.base import Prompt
from models.vision.likeness import generate_until_similar


@dataclass(frozen=True, eq=False)
class SceneImage:
    """The picture of scene ``number``; ``notes`` say how it came to be."""

    number: int
    path: Path
    image: Image
    prompt: str
    notes: dict[str, Any] = field(default_factory=dict)


def image_file_name(number: int) -> str:
    """The picture's file of scene ``number``, counted from 1."""
    return f"scene-{number:02}.png"


@dataclass(frozen=True)
class SceneDrawer:
    """Everything the pictures of a job are drawn from."""

    request: StoryRequest
    board: Storyboard
    settings: StorySettings
    cast: Mapping[str, CastMember]
    existing: Mapping[int, Path]
    models: StoryModels
    context: Context
    reporter: ProgressReporter

    def prompts(self) -> list[Prompt]:
        return self.models.prompt_builder.scene_prompts(
            prompt_roles(self.board, self.cast), prompt_shots(self.board), self.settings.style
        )

    def scene_image(self, number: int, prompt: Prompt) -> SceneImage:
        """The picture of scene ``number``, as a file of the work directory."""
        path = self.context.workdir / image_file_name(number)
        if (made := self.existing.get(number)) is not None:
            shutil.copyfile(made, path)
            taken = {"name": path.name, "taken_over": True}
            return SceneImage(number, path, read_image(path), prompt.text, taken)
        names = self.board.scenes[number - 1].characters
        main = self.cast[names[0]] if names else None
        picture = self._draw(number, prompt, main, path)
        self.context.keep(path)
        self.reporter.preview(picture.image)
        self.reporter.report(f"picture {number}")
        return picture

    def image_request(
        self, number: int, prompt: Prompt, main: CastMember | None
    ) -> DiffusionRequest:
        request, width, height = self.request, *self.settings.size
        wanted = DiffusionRequest(
            prompt=prompt.text,
            negative_prompt=self.settings.negative_prompt,
            seed=derive_seed(self.context.seed, f"scene {number}"),
            steps=request.steps,
            guidance=request.guidance,
            person=main.image if main is not None else None,
            scale=prompt.strength
            if request.identity_strength is None
            else request.identity_strength,
        )
        wide, high = size_of_aspect(
            self.models.profile, required_capability(wanted), width / height
        )
        return replace(wanted, width=wide, height=high)

    def _draw(self, number: int, prompt: Prompt, main: CastMember | None, path: Path) -> SceneImage:
        inference, thing = self.models.inference, f"picture {number}"
        wanted = self.image_request(number, prompt, main)
        known = main.reference_embedding if main is not None else None
        tries = self.request.max_redraws + 1 if known is not None else 1
        attempts = 0

        def draw(asked: DiffusionRequest) -> Image:
            nonlocal attempts
            steps = self.reporter.callback(thing, attempts / tries, (attempts + 1) / tries)
            attempts += 1
            return inference.run(Draw(asked), steps)[0]

        notes: dict[str, Any] = {"name": path.name, "prompt": prompt.text}
        if known is None:
            image, seed = draw(wanted), wanted.seed
        else:
            threshold = self._threshold()
            alike = generate_until_similar(
                draw, lambda it: self._score(known, it), wanted, threshold, tries
            )
            image, seed = alike.image, alike.seed
            notes |= {
                "likeness": round(alike.score, 4),
                "alike": alike.score >= threshold,
                "head_found": alike.head_found,
                "tries": alike.tries,
            }
        used = resolve_request(inference.profile, wanted)
        label = ImageMetadata(
            prompt.text, wanted.negative_prompt, seed, used.model, used.steps, used.guidance
        )
        path.write_bytes(encode_png(image, label))
        names = self.board.scenes[number - 1].characters
        from_picture = names[:1] if wanted.person is not None else ()
        notes |= {"seed": seed, "drawn_from": list(from_picture)}
        notes["only_named"] = list(names[len(from_picture) :])
        return SceneImage(number, path, image, prompt.text, notes)

    def _threshold(self) -> float:
        if self.request.likeness_threshold is not None:
            return self.request.likeness_threshold
        return self.models.inference.run(LikenessThreshold())

    def _score(self, known: Any, image: Image) -> float:
        self.reporter.report("")
        return self.models.inference.run(ComparePerson(known, image))


def existing_images(
    request: StoryRequest, count: int, before: EarlierFilm | None, kept: Mapping[str, Path]
) -> dict[int, Path]:
    """Pictures that need no drawing, by number of their scene.

    Raises:
        BadInput: the earlier film has no picture of a scene that is not to be drawn anew.
    """
    there: dict[int, Path] = {}
    for number in range(1, count + 1):
        name = image_file_name(number)
        if name in kept:
            there[number] = kept[name]
        elif before is not None and number not in (request.scenes or ()):
            if name not in before.files:
                raise BadInput(
                    f"scenes: scene {number} is not in the earlier film; name it, too.",
                    code="no_such_scene",
                )
            there[number] = before.files[name]
    return there


def scenes_to_draw(count: int, there: Mapping[int, Path]) -> Sequence[int]:
    return [number for number in range(1, count + 1) if number not in there]
