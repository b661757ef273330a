"""The pictures of the scenes: kept, of the earlier film, or drawn from their main character."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.contract import BadInput, Context
from deployments.story_video.casting import Member, roles_of, shots_of
from deployments.story_video.course import Course
from deployments.story_video.means import Means, derived
from deployments.story_video.settings import Before, FilmSettings
from deployments.story_video.spec import StoryRequest
from deployments.story_video.storyboard import Storyboard
from models.diffusion.pictures import capability_of
from models.diffusion.region import fitting_size
from models.diffusion.requests import PictureRequest
from models.likeness import draw_alike
from models.media.pictures_in import read_picture
from models.media.png import PictureMetadata, encode_png
from models.story.wording import Prompt

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class ScenePicture:
    """The picture of scene ``number``; ``notes`` say how it came to be."""

    number: int
    path: Path
    image: Image
    prompt: str
    notes: dict[str, Any] = field(default_factory=dict)


def picture_name(number: int) -> str:
    """The picture's file of scene ``number``, counted from 1."""
    return f"scene-{number:02}.png"


@dataclass(frozen=True)
class Drawing:
    """Everything the pictures of a job are drawn from."""

    request: StoryRequest
    board: Storyboard
    settings: FilmSettings
    cast: Mapping[str, Member]
    there: Mapping[int, Path]
    means: Means
    context: Context
    course: Course

    def prompts(self) -> list[Prompt]:
        return self.means.wording.scenes(
            roles_of(self.board, self.cast), shots_of(self.board), self.settings.style
        )

    def scene(self, number: int, prompt: Prompt) -> ScenePicture:
        """The picture of scene ``number``, as a file of the work directory."""
        path = self.context.workdir / picture_name(number)
        if (made := self.there.get(number)) is not None:
            shutil.copyfile(made, path)
            taken = {"name": path.name, "taken_over": True}
            return ScenePicture(number, path, read_picture(path), prompt.text, taken)
        names = self.board.scenes[number - 1].characters
        main = self.cast[names[0]] if names else None
        picture = self._drawn(number, prompt, main, path)
        self.context.keep(path)
        self.course.show(picture.image)
        self.course.done(f"picture {number}")
        return picture

    def wanted(self, number: int, prompt: Prompt, main: Member | None) -> PictureRequest:
        request, width, height = self.request, *self.settings.size
        wanted = PictureRequest(
            prompt=prompt.text,
            negative_prompt=self.settings.negative_prompt,
            seed=derived(self.context.seed, f"scene {number}"),
            steps=request.steps,
            guidance=request.guidance,
            person=main.image if main is not None else None,
            scale=prompt.strength
            if request.identity_strength is None
            else request.identity_strength,
        )
        wide, high = fitting_size(self.means.pictures, capability_of(wanted), width / height)
        return replace(wanted, width=wide, height=high)

    def _drawn(self, number: int, prompt: Prompt, main: Member | None, path: Path) -> ScenePicture:
        pictures, thing = self.means.pictures, f"picture {number}"
        wanted = self.wanted(number, prompt, main)
        known = main.known if main is not None else None
        tries = self.request.max_redraws + 1 if known is not None else 1
        attempts = 0

        def draw(asked: PictureRequest) -> Image:
            nonlocal attempts
            steps = self.course.steps(thing, attempts, tries)
            attempts += 1
            return pictures.generate(asked, steps)[0]

        notes: dict[str, Any] = {"name": path.name, "prompt": prompt.text}
        if known is None:
            image, seed = draw(wanted), wanted.seed
        else:
            threshold = self._threshold()
            alike = draw_alike(draw, lambda it: self._score(known, it), wanted, threshold, tries)
            image, seed = alike.image, alike.seed
            notes |= {
                "likeness": round(alike.score, 4),
                "alike": alike.score >= threshold,
                "tries": alike.tries,
            }
        used = pictures.plan(wanted)
        label = PictureMetadata(
            prompt.text, wanted.negative_prompt, seed, used.model, used.steps, used.guidance
        )
        path.write_bytes(encode_png(image, label))
        names = self.board.scenes[number - 1].characters
        from_picture = names[:1] if wanted.person is not None else ()
        notes |= {"seed": seed, "drawn_from": list(from_picture)}
        notes["only_named"] = list(names[len(from_picture) :])
        return ScenePicture(number, path, image, prompt.text, notes)

    def _threshold(self) -> float:
        if self.request.likeness_threshold is not None:
            return self.request.likeness_threshold
        assert self.means.likeness is not None  # nobody is known without it
        return self.means.residency.run(self.means.likeness, lambda likeness: likeness.threshold)

    def _score(self, known: Any, image: Image) -> float:
        assert self.means.likeness is not None
        self.course.done("")
        return self.means.residency.run(
            self.means.likeness, lambda likeness: likeness.compare(known, image)
        )


def pictures_there(
    request: StoryRequest, count: int, before: Before | None, kept: Mapping[str, Path]
) -> dict[int, Path]:
    """Pictures that need no drawing, by number of their scene.

    Raises:
        BadInput: the earlier film has no picture of a scene that is not to be drawn anew.
    """
    there: dict[int, Path] = {}
    for number in range(1, count + 1):
        name = picture_name(number)
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


def to_draw(count: int, there: Mapping[int, Path]) -> Sequence[int]:
    return [number for number in range(1, count + 1) if number not in there]
