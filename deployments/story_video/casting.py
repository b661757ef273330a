"""Who plays each character: a persona, a given picture, or one that is drawn once from the words.

Only the main character of a scene is drawn from a picture, so nobody else needs one.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.contract import BadInput, Context
from deployments.story_video.course import Course
from deployments.story_video.means import Means, derived
from deployments.story_video.settings import Before, CastRecord, FilmSettings
from deployments.story_video.spec import StoryRequest
from deployments.story_video.storyboard import Character, Storyboard
from deployments.studio import given_picture
from models.diffusion.requests import PictureRequest, Used
from models.likeness import Likeness, NoHead
from models.media.pictures_in import UnreadablePicture, read_picture
from models.media.png import PictureMetadata, encode_png
from models.story.wording import Role, Shot

if TYPE_CHECKING:
    from PIL.Image import Image

PORTRAIT_TRIES = 3


@dataclass(frozen=True, eq=False)
class Member:
    """A character and who plays it.

    ``image`` is what scenes are drawn from, ``None``: from the words alone. ``known`` is what their
    pictures are compared with, ``None`` where there is nothing to compare: no encoder, or no head
    (a fox). ``file`` is a picture that belongs to the film's outputs.
    """

    character: Character
    description: str
    by: str
    image: Image | None = None
    known: Any = None
    file: Path | None = None


@dataclass(frozen=True)
class Casting:
    """A job's characters. ``needed`` are the names of those who need a picture."""

    request: StoryRequest
    board: Storyboard
    settings: FilmSettings
    before: Before | None
    needed: frozenset[str]


def character_name(number: int) -> str:
    """The file of character ``number``, counted from 1."""
    return f"character-{number:02}.png"


def needed_for(board: Storyboard, scenes: Sequence[int]) -> frozenset[str]:
    """The main characters of ``scenes``, which are counted from 1."""
    shown = (board.scenes[number - 1].characters for number in scenes)
    return frozenset(names[0] for names in shown if names)


def roles_of(board: Storyboard, cast: Mapping[str, Member] | None = None) -> list[Role]:
    """The characters as prompts know them."""
    return [
        Role(
            one.name,
            cast[one.name].description if cast else one.description,
            shown=one.persona_id is not None or one.reference is not None,
        )
        for one in board.characters
    ]


def shots_of(board: Storyboard) -> list[Shot]:
    return [
        Shot(scene.shot, scene.narration, scene.framing, scene.characters) for scene in board.scenes
    ]


def cast_for(
    casting: Casting, means: Means, kept: Mapping[str, Path], context: Context, course: Course
) -> dict[str, Member]:
    """Everybody of the storyboard, by name.

    Raises:
        BadInput: a picture cannot be used, or a persona is not named by this request.
    """
    cast = {}
    prompts = dict(
        zip(
            (one.name for one in casting.board.characters),
            means.wording.portraits(
                roles_of(casting.board), shots_of(casting.board), casting.settings.style
            ),
            strict=True,
        )
    )
    for number, character in enumerate(casting.board.characters, start=1):
        plays = _Part(casting, number, character, prompts[character.name], means, context, course)
        cast[character.name] = plays.found(kept)
        course.done(character.name)
    return cast


@dataclass(frozen=True)
class _Part:
    """One character to be cast."""

    casting: Casting
    number: int
    character: Character
    prompt: str
    means: Means
    context: Context
    course: Course

    def found(self, kept: Mapping[str, Path]) -> Member:
        character, name = self.character, character_name(self.number)
        if character.persona_id is not None:
            return self._persona(str(character.persona_id))
        if character.reference is not None:
            return self._given(name)
        if (path := self._drawn_before(kept, name)) is not None:
            return self._from_file(path, "lost attempt" if name in kept else "earlier")
        if character.name not in self.casting.needed or not self.means.knows_people:
            return Member(character, character.description, "words")
        return self._drawn(name)

    def _persona(self, persona_id: str) -> Member:
        needed = self.character.name in self.casting.needed
        persona = self.context.personas.get(persona_id)
        if persona is None:
            if not needed:
                return Member(self.character, self.character.description, "words")
            raise BadInput(
                f"earlier: {self.character.name!r} is played by a persona; give the storyboard"
                " (storyboard.json of that job) with the request, so that it is asked for again.",
                code="persona_not_named",
            )
        description = self.character.description or persona.description
        if not needed or not self.means.knows_people:
            return Member(self.character, description, "words" if needed else "persona")
        images = []
        for count, path in enumerate(persona.images, start=1):
            try:
                images.append(read_picture(path))
            except UnreadablePicture as error:
                raise BadInput(
                    f"picture {count} of the persona {persona.name!r}: {error}.",
                    code="unreadable_image",
                ) from error
        image, known = self._looked_at(images)
        return Member(self.character, description, "persona", image, known)

    def _given(self, name: str) -> Member:
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
        image = given_picture(self.context, place)
        label = PictureMetadata(
            f"reference of {self.character.name}", "", self.context.seed, "none", 0, 0.0
        )
        path = self.context.workdir / name
        path.write_bytes(encode_png(image, label))
        if self.character.name not in self.casting.needed or not self.means.knows_people:
            return Member(self.character, self.character.description, "words", file=path)
        image, known = self._looked_at([image])
        return Member(self.character, self.character.description, "reference", image, known, path)

    def _drawn_before(self, kept: Mapping[str, Path], name: str) -> Path | None:
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

    def _from_file(self, path: Path, by: str) -> Member:
        own = self.context.workdir / character_name(self.number)
        shutil.copyfile(path, own)
        image, known = self._looked_at([read_picture(own)])
        return Member(self.character, self.character.description, by, image, known, own)

    def _drawn(self, name: str) -> Member:
        """Drawn once; again if nobody can be recognised on it."""
        wanted = PictureRequest(
            prompt=self.prompt,
            negative_prompt=self.casting.settings.negative_prompt,
            seed=0,
            steps=self.casting.request.steps,
            guidance=self.casting.request.guidance,
        )
        used = self.means.pictures.plan(wanted)
        tried: list[tuple[Image, PictureMetadata]] = []
        for attempt in range(PORTRAIT_TRIES):
            seed = derived(self.context.seed, f"character {self.character.name} {attempt}")
            steps = self.course.steps(self.character.name, attempt, PORTRAIT_TRIES)
            drawn = replace(wanted, seed=seed)
            [image] = self.means.pictures.generate(drawn, steps)
            tried.append((image, _label(drawn, used)))
            if self._recognisable(image):
                break
        else:
            tried = tried[:1]  # nobody with a face, then: any of them is as good
        image, label = tried[-1]
        path = self.context.workdir / name
        path.write_bytes(encode_png(image, label))
        self.context.keep(path)
        self.course.show(image)
        image, known = self._looked_at([image])
        return Member(self.character, self.character.description, "drawn", image, known, path)

    def _recognisable(self, image: Image) -> bool:
        if self.means.likeness is None:
            return True
        return self.means.residency.run(
            self.means.likeness, lambda likeness: likeness.unusable(image) is None
        )

    def _looked_at(self, images: list[Image]) -> tuple[Image, Any]:
        """The picture most like all of them, and what they have in common, if anything."""
        if self.means.likeness is None:
            return images[0], None

        def work(likeness: Likeness) -> tuple[Image, Any]:
            try:
                known = likeness.known(images)
            except NoHead:
                return images[0], None
            if len(images) == 1:
                return images[0], known
            return max(images, key=lambda image: likeness.compare(known, image)), known

        return self.means.residency.run(self.means.likeness, work)


def _label(drawn: PictureRequest, used: Used) -> PictureMetadata:
    return PictureMetadata(
        prompt=drawn.prompt,
        negative_prompt=drawn.negative_prompt,
        seed=drawn.seed,
        model=used.model,
        steps=used.steps,
        guidance=used.guidance,
    )


def records_of(cast: Mapping[str, Member]) -> tuple[CastRecord, ...]:
    """Those that were drawn from words, as the film's record keeps them."""
    return tuple(
        CastRecord(name=name, description=member.character.description, file=member.file.name)
        for name, member in cast.items()
        if member.file is not None and member.character.reference is None
    )
