"""Who plays each character: a persona, a given picture, or one that is drawn once from the words.

Only the main character of a scene is drawn from a picture, so nobody else needs one.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL.Image import Image

from deployments.contract import BadInput, Context
from deployments.generators.common.input_images import read_input_image
from deployments.generators.common.progress import ProgressReporter
from deployments.generators.story_video.models import StoryModels, derive_seed
from deployments.generators.story_video.settings import CastRecord, EarlierFilm, StorySettings
from deployments.generators.story_video.spec import StoryRequest
from deployments.generators.story_video.storyboard import Character, Storyboard
from models.diffusion.requests import DiffusionRequest, ResolvedParams
from models.diffusion.resolve import resolve_request
from models.inference.operations import ComparePerson, Draw, LookAtPerson
from models.media.images import UnreadableImage, read_image
from models.media.png import ImageMetadata, encode_png
from models.storyfilm.prompts.base import Role, Shot
from models.vision.likeness import HeadNotFound, mean_embedding

PORTRAIT_TRIES = 3


@dataclass(frozen=True, eq=False)
class CastMember:
    """A character and who plays it.

    ``image`` is what scenes are drawn from, ``None``: from the words alone. ``known`` is what their
    pictures are compared with, ``None`` where there is nothing to compare: no encoder, or no head
    (a fox). ``file`` is a picture that belongs to the film's outputs.
    """

    character: Character
    description: str
    source: str
    image: Image | None = None
    reference_embedding: Any = None
    file: Path | None = None


@dataclass(frozen=True)
class CastRequest:
    """A job's characters. ``needed`` are the names of those who need a picture."""

    request: StoryRequest
    board: Storyboard
    settings: StorySettings
    before: EarlierFilm | None
    needed: frozenset[str]


def character_file_name(number: int) -> str:
    """The file of character ``number``, counted from 1."""
    return f"character-{number:02}.png"


def main_characters(board: Storyboard, scenes: Sequence[int]) -> frozenset[str]:
    """The main characters of ``scenes``, which are counted from 1."""
    shown = (board.scenes[number - 1].characters for number in scenes)
    return frozenset(names[0] for names in shown if names)


def prompt_roles(board: Storyboard, cast: Mapping[str, CastMember] | None = None) -> list[Role]:
    """The characters as prompts know them."""
    return [
        Role(
            one.name,
            cast[one.name].description if cast else one.description,
            has_picture=one.persona_id is not None or one.reference is not None,
        )
        for one in board.characters
    ]


def prompt_shots(board: Storyboard) -> list[Shot]:
    return [
        Shot(scene.shot, scene.narration, scene.framing, scene.characters) for scene in board.scenes
    ]


def cast_characters(
    casting: CastRequest,
    means: StoryModels,
    kept: Mapping[str, Path],
    context: Context,
    course: ProgressReporter,
) -> dict[str, CastMember]:
    """Everybody of the storyboard, by name.

    Raises:
        BadInput: a picture cannot be used, or a persona is not named by this request.
    """
    cast = {}
    prompts = dict(
        zip(
            (one.name for one in casting.board.characters),
            means.prompt_builder.portrait_prompts(
                prompt_roles(casting.board), prompt_shots(casting.board), casting.settings.style
            ),
            strict=True,
        )
    )
    for number, character in enumerate(casting.board.characters, start=1):
        plays = _CharacterCasting(
            casting, number, character, prompts[character.name], means, context, course
        )
        cast[character.name] = plays.cast(kept)
        course.report(character.name)
    return cast


@dataclass(frozen=True)
class _CharacterCasting:
    """One character to be cast."""

    casting: CastRequest
    number: int
    character: Character
    prompt: str
    models: StoryModels
    context: Context
    reporter: ProgressReporter

    def cast(self, kept: Mapping[str, Path]) -> CastMember:
        character, name = self.character, character_file_name(self.number)
        if character.persona_id is not None:
            return self._from_persona(str(character.persona_id))
        if character.reference is not None:
            return self._from_reference(name)
        if (path := self._find_drawn(kept, name)) is not None:
            return self._from_file(path, "lost attempt" if name in kept else "earlier")
        if character.name not in self.casting.needed or not self.models.supports_identity:
            return CastMember(character, character.description, "words")
        return self._draw(name)

    def _from_persona(self, persona_id: str) -> CastMember:
        needed = self.character.name in self.casting.needed
        persona = self.context.personas.get(persona_id)
        if persona is None:
            if not needed:
                return CastMember(self.character, self.character.description, "words")
            raise BadInput(
                f"earlier: {self.character.name!r} is played by a persona; give the storyboard"
                " (storyboard.json of that job) with the request, so that it is asked for again.",
                code="persona_not_named",
            )
        description = self.character.description or persona.description
        if not needed or not self.models.supports_identity:
            return CastMember(self.character, description, "words" if needed else "persona")
        images = []
        for count, path in enumerate(persona.images, start=1):
            try:
                images.append(read_image(path))
            except UnreadableImage as error:
                raise BadInput(
                    f"picture {count} of the persona {persona.name!r}: {error}.",
                    code="unreadable_image",
                ) from error
        image, known = self._choose_reference(images)
        return CastMember(self.character, description, "persona", image, known)

    def _from_reference(self, name: str) -> CastMember:
        place = f"storyboard.characters.{self.number - 1}.reference"
        if place not in self.context.inputs:  # the earlier film's, which shows it among its files
            before = self.casting.before
            path = before.files.get(name) if before is not None else None
            if path is None:
                raise BadInput(
                    f"{self.character.name!r}: the reference of the earlier film is gone; give the"
                    " storyboard with the request.",
                    code="reference_missing",
                )
            return self._from_file(path, "reference")
        image = read_input_image(self.context, place)
        label = ImageMetadata(
            f"reference of {self.character.name}", "", self.context.seed, "none", 0, 0.0
        )
        path = self.context.workdir / name
        path.write_bytes(encode_png(image, label))
        if self.character.name not in self.casting.needed or not self.models.supports_identity:
            return CastMember(self.character, self.character.description, "words", file=path)
        image, known = self._choose_reference([image])
        return CastMember(
            self.character, self.character.description, "reference", image, known, path
        )

    def _find_drawn(self, kept: Mapping[str, Path], name: str) -> Path | None:
        """The character's picture from a lost attempt, or from a film that described it alike."""
        if name in kept:
            return kept[name]
        if (before := self.casting.before) is not None:
            for record in before.record.cast:
                if (record.name, record.description) == (
                    self.character.name,
                    self.character.description,
                ):
                    return before.files.get(record.file)
        return None

    def _from_file(self, path: Path, by: str) -> CastMember:
        own = self.context.workdir / character_file_name(self.number)
        shutil.copyfile(path, own)
        image, known = self._choose_reference([read_image(own)])
        return CastMember(self.character, self.character.description, by, image, known, own)

    def _draw(self, name: str) -> CastMember:
        """Drawn once; again if nobody can be recognised on it."""
        wanted = DiffusionRequest(
            prompt=self.prompt,
            negative_prompt=self.casting.settings.negative_prompt,
            seed=0,
            steps=self.casting.request.steps,
            guidance=self.casting.request.guidance,
        )
        used = resolve_request(self.models.profile, wanted)
        tried: list[tuple[Image, ImageMetadata]] = []
        for attempt in range(PORTRAIT_TRIES):
            seed = derive_seed(self.context.seed, f"character {self.character.name} {attempt}")
            steps = self.reporter.callback(
                self.character.name, attempt / PORTRAIT_TRIES, (attempt + 1) / PORTRAIT_TRIES
            )
            drawn = replace(wanted, seed=seed)
            [image] = self.models.inference.run(Draw(drawn), steps)
            tried.append((image, _label(drawn, used)))
            if self._is_recognizable(image):
                break
        else:
            tried = tried[:1]  # nobody with a face, then: any of them is as good
        image, label = tried[-1]
        path = self.context.workdir / name
        path.write_bytes(encode_png(image, label))
        self.context.keep(path)
        self.reporter.preview(image)
        image, known = self._choose_reference([image])
        return CastMember(self.character, self.character.description, "drawn", image, known, path)

    def _is_recognizable(self, image: Image) -> bool:
        if not self.models.supports_likeness:
            return True
        return self.models.inference.run(LookAtPerson(image)).rejection is None

    def _choose_reference(self, images: list[Image]) -> tuple[Image, Any]:
        """The picture most like all of them, and what they have in common, if anything."""
        if not self.models.supports_likeness:
            return images[0], None

        run = self.models.inference.run
        try:
            known = mean_embedding([run(LookAtPerson(image)).embedding for image in images])
        except HeadNotFound:
            return images[0], None
        if len(images) == 1:
            return images[0], known
        return max(images, key=lambda image: run(ComparePerson(known, image))), known


def _label(drawn: DiffusionRequest, used: ResolvedParams) -> ImageMetadata:
    return ImageMetadata(
        prompt=drawn.prompt,
        negative_prompt=drawn.negative_prompt,
        seed=drawn.seed,
        model=used.model,
        steps=used.steps,
        guidance=used.guidance,
    )


def cast_records(cast: Mapping[str, CastMember]) -> tuple[CastRecord, ...]:
    """Those that were drawn from words, as the film's record keeps them."""
    return tuple(
        CastRecord(name=name, description=member.character.description, file=member.file.name)
        for name, member in cast.items()
        if member.file is not None and member.character.reference is None
    )
