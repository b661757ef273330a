"""What the story generator takes and costs."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from billing.prices import PriceLine
from deployments.contract import GeneratorSpec, Request, Seed
from deployments.generators.common.fields import (
    FilmAspect,
    Fps,
    Guidance,
    Language,
    NegativePrompt,
    Part,
    Redraws,
    Resolution,
    Share,
    Speed,
    Steps,
    Voice,
    check_speech,
    error_at,
    fps_field,
    guidance_field,
    redraws_field,
    resolution_field,
    seed_field,
    speed_field,
    steps_field,
    voice_field,
)
from deployments.generators.common.model_limits import unsupported_for_person
from deployments.generators.story_video.storyboard import MAX_SCENES, Storyboard, story_error
from deployments.references import AudioInput, JobId
from models.text.glyphs import UnsupportedCharacters, require_glyphs
from models.text.story import read_story

Motion = Literal["camera", "generated", "auto"]
BedStyle = Literal["calm", "bright", "dark", "dreamy"]
SceneNumber = Annotated[int, Field(ge=1, le=MAX_SCENES)]

DEFAULT_RESOLUTION: Resolution = "480p"
DEFAULT_FPS = 24
DEFAULT_SCENES = 12
MAX_SECONDS = 1200  # of a film
STEPS = 30
CHARACTERS_PER_SECOND = 14.0  # of narration, at speed 1
SCENE_PAUSES = 1.6  # seconds before and after a narration, with the transition
MIN_SCENE_SECONDS = 3.0
NARRATION_PER_SCENE = 1600  # characters at most that a story's scene is given
MIN_NARRATION = 120  # characters of a story for each of its scenes

CREDITS_PER_PICTURE = 3  # a scene's picture, redraws included; a character's too
CREDITS_PER_MOTION = 6
PART_SECONDS = 30
CREDITS = {"360p": 1, "480p": 1, "720p": 2, "1080p": 4}  # for each started half minute of film
STORY_CHARACTERS = 5000  # a storyboard costs one credit for each so many that are started


class Music(Part):
    """Music under the voice: a bed of soft chords made from the seed, or the sender's own."""

    level: Share = Field(
        default=0.35,
        description="How loud it is where nobody speaks, 1 as loud as the voice.",
        examples=[0.35],
    )
    style: BedStyle | None = Field(
        default=None,
        description="Of the bed that is made: by default calm. Not with audio.",
        examples=["calm"],
    )
    audio: AudioInput | None = Field(
        default=None,
        description="Your own music, repeated to the film's length. Its rights are yours to have.",
        examples=[None],
    )

    @model_validator(mode="after")
    def _one_music(self) -> Self:
        if self.style is not None and self.audio is not None:
            raise story_error("music: give a style or audio, not both")
        return self


class StoryRequest(Request):
    """Exactly one of ``story`` and ``storyboard``; or ``earlier``, alone or with the changed
    ``storyboard``."""

    story: (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
        | None
    ) = Field(
        default=None,
        description="The story, as plain text or Markdown. Without a language model (the tiny"
        " profile) it is told as it is written, in its order: paragraphs, lines of a dialogue,"
        " numbered lines, lists and tables. Scenes begin at ornaments (`***`, `# # #`, `---`, `⁂`,"
        " `~~~`, `§`), headings and chapter lines (`Chapter 2`, `III`). A first line alone,"
        " without a full stop, is the title. Titles are not spoken. `left_out` in the result names"
        " what is not told, with the reason: titles, code, comments, front matter, tags, addresses"
        " of links. Nothing is cut.",
        examples=[
            "The lamp\n\nMira was a woman with red hair. Every evening Mira walked along the"
            " beach and lit the old lamp.\n\nOne night the lamp stayed dark. Mira ran to the city"
            " to find new oil."
        ],
    )
    storyboard: Storyboard | None = Field(
        default=None,
        description="The scenes themselves; what storyboard.json of an earlier job holds, edited"
        " or not.",
        examples=[None],
    )
    max_scenes: int = Field(
        default=DEFAULT_SCENES,
        ge=1,
        le=MAX_SCENES,
        description="A story becomes at most so many scenes.",
        examples=[4],
    )
    only: Literal["storyboard", "film"] = Field(
        default="film",
        description="`storyboard`: stop when it is written, to edit it and give it back.",
        examples=["film"],
    )
    style: Annotated[str, StringConstraints(strip_whitespace=True, max_length=300)] | None = Field(
        default=None,
        description="How all pictures look; added to each prompt.",
        examples=["watercolour, soft evening light"],
    )
    negative_prompt: NegativePrompt | None = Field(
        default=None, description="What no picture should show.", examples=["text"]
    )
    aspect: FilmAspect | None = Field(
        default=None, description="Shape of the film; by default 16:9.", examples=["16:9"]
    )
    resolution: Resolution | None = resolution_field(DEFAULT_RESOLUTION, "360p")
    fps: Fps | None = fps_field(DEFAULT_FPS)
    language: Language | None = Field(
        default=None,
        description="BCP 47 tag of the narration. Left out: the text's own, where its script or its"
        " words tell it clearly; English, where a text in Latin letters is short or unclear;"
        " otherwise the request is refused.",
        examples=["en"],
    )
    voice: Voice | None = voice_field("en-us")
    speed: Speed | None = speed_field()
    motion: Motion | None = Field(
        default=None,
        description="`camera` (by default): the camera moves over still pictures. `generated`:"
        " what the pictures show moves, too; needs a film model. `auto`: where there is one.",
        examples=["camera"],
    )
    burn_subtitles: bool | None = Field(
        default=None,
        description="Whether subtitles are also drawn into the picture.",
        examples=[False],
    )
    music: Music | None = Field(
        default=None,
        description="Music under the voice, quieter while it speaks. Left out: none.",
        examples=[{"level": 0.35, "style": "calm"}],
    )
    identity_strength: Share | None = Field(
        default=None,
        description="How much a character's picture counts against the words. Left out: the"
        " model's usual strength.",
        examples=[None],
    )
    likeness_threshold: Share | None = Field(
        default=None,
        description="A picture less alike its character is drawn again. Left out: what was"
        " measured for the installed model.",
        examples=[None],
    )
    max_redraws: Redraws = redraws_field()
    steps: Steps | None = steps_field("Denoising steps of a picture.")
    guidance: Guidance | None = guidance_field("words are")
    earlier: JobId | None = Field(
        default=None,
        description="A finished story film of yours to cut again. Scenes that are not in scenes"
        " keep their pictures; what is left out of the request is taken from it, except music.",
        examples=[None],
    )
    scenes: Annotated[tuple[SceneNumber, ...], Field(max_length=MAX_SCENES)] | None = Field(
        default=None,
        description="With earlier: the scenes whose pictures are drawn anew, counted from 1.",
        examples=[None],
    )
    seed: Seed | None = seed_field("film")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.earlier is None:
            if (self.story is None) == (self.storyboard is None):
                raise story_error("Give exactly one of story and storyboard")
            if self.scenes is not None:
                raise story_error("scenes are drawn anew for an earlier film: name earlier")
        elif self.story is not None:
            raise story_error("With earlier, give the changed storyboard or nothing, but no story")
        elif self.only == "storyboard":
            raise story_error("The storyboard of earlier is there already: leave only out")
        if self.scenes is not None and len(set(self.scenes)) < len(self.scenes):
            raise story_error("scenes names a scene twice")
        if self.storyboard is not None and self.scenes is not None:
            count = len(self.storyboard.scenes)
            if beyond := [number for number in self.scenes if number > count]:
                raise story_error(f"scenes: there is no scene {beyond[0]}, only {count}")
        return self

    @model_validator(mode="after")
    def _can_be_spoken(self) -> Self:
        text = spoken_text(self)
        # An earlier film has a language already.
        if text and (self.earlier is None or self.language is not None):
            check_speech(text, self.language, self.voice)
        return self

    @model_validator(mode="after")
    def _subtitles_can_be_drawn(self) -> Self:
        if not self.burn_subtitles:
            return self
        for number, scene in enumerate(self.storyboard.scenes if self.storyboard else ()):
            loc = ("storyboard", "scenes", number, "narration")
            _require_glyphs(scene.narration, loc, f"the narration of scene {number + 1}")
        if self.story is not None:
            told = read_story(self.story)
            shown = {*told.title, *(letter for part in told.parts for letter in part.title)}
            shown.update(letter for part in told.parts for letter in "".join(part.paragraphs))
            for number, line in enumerate(self.story.splitlines(), start=1):
                letters = "".join(letter for letter in line if letter in shown)
                _require_glyphs(letters, ("story",), f"story, line {number}")
        return self

    @model_validator(mode="after")
    def _room_for_the_story(self) -> Self:
        needed = math.ceil(len(self.story or "") / NARRATION_PER_SCENE)
        if needed > self.max_scenes:
            raise story_error(f"A story of that length needs {needed} scenes: raise max_scenes")
        return self


def _require_glyphs(text: str, loc: tuple[str | int, ...], part: str) -> None:
    try:
        require_glyphs(text, f"{part}, as a burned subtitle")
    except UnsupportedCharacters as error:
        raise error_at(loc, story_error(str(error))) from error


def spoken_text(request: StoryRequest) -> str:
    """What the voice says, as far as the request tells."""
    if request.storyboard is not None:
        return "\n\n".join(scene.narration for scene in request.storyboard.scenes)
    return request.story or ""


def max_scene_count(request: StoryRequest) -> int:
    """Into how many scenes the story may be cut: what is paid for, and what is made.

    A chapter has a scene of its own, however short it is.
    """
    if request.story is None:
        return 1
    by_length = 1 + len(request.story) // MIN_NARRATION
    return min(request.max_scenes, max(by_length, read_story(request.story).chapters))


def price(request: StoryRequest) -> list[PriceLine]:
    """A storyboard by the length of its story; a film by its pictures (times their started 30
    steps), the generated motion of its scenes, and its started half minutes by resolution.

    Lengths are estimated from what is said. A film that is cut again pays for the new pictures,
    and for its whole length.
    """
    lines = []
    if request.story is not None:
        parts = math.ceil(len(request.story) / STORY_CHARACTERS)
        lines.append(PriceLine(f"started {STORY_CHARACTERS} characters of story", parts, parts))
    if request.only == "storyboard":
        return lines or [PriceLine("storyboard", 1, 1)]
    scenes, drawn, seconds = _estimate(request)
    runs = -(-(request.steps or STEPS) // STEPS)
    resolution, moved = request.resolution or DEFAULT_RESOLUTION, 0
    if request.motion in ("generated", "auto"):
        moved = drawn if request.earlier is not None else scenes
    half_minutes = math.ceil(seconds / PART_SECONDS)
    credits = CREDITS[resolution] * half_minutes
    lines += [
        PriceLine("pictures", drawn, CREDITS_PER_PICTURE * drawn),
        PriceLine("further 30 steps", drawn * (runs - 1), CREDITS_PER_PICTURE * drawn * (runs - 1)),
        PriceLine("scenes with generated motion", moved, CREDITS_PER_MOTION * moved),
        PriceLine(f"half minutes of film at {resolution}", half_minutes, credits),
    ]
    if (request.fps or DEFAULT_FPS) > 30:
        lines.append(PriceLine("half minutes at more than 30 fps", half_minutes, credits))
    return [line for line in lines if line.quantity]


def _estimate(request: StoryRequest) -> tuple[int, int, float]:
    """Scenes, pictures that are drawn, and seconds."""
    pace = CHARACTERS_PER_SECOND * (request.speed or 1.0)
    if request.storyboard is not None:
        board = request.storyboard
        scenes = len(board.scenes)
        seconds = sum(
            max(
                len(scene.narration) / pace + SCENE_PAUSES,
                scene.seconds or 0.0,
                MIN_SCENE_SECONDS,
            )
            for scene in board.scenes
        )
        drawn = scenes + sum(c.persona_id is None and c.reference is None for c in board.characters)
    else:
        scenes = max_scene_count(request)
        drawn = scenes
        seconds = len(request.story or "") / pace + SCENE_PAUSES * scenes
    if request.earlier is not None:
        again = len(request.scenes or ())
        # Its length is that of a film which is known only once the job runs.
        return scenes, again, max(seconds, float(PART_SECONDS * max(again, 1)))
    return scenes, drawn, seconds


SPEC = GeneratorSpec(
    name="story_video",
    title="Story video",
    description="Makes a narrated film of a story, its characters the same in every scene.",
    request=StoryRequest,
    price=price,
    price_version="story_video-1",
    entry="deployments.generators.story_video.generator:StoryVideoGenerator",
    expected_seconds=90.0,
    max_seconds=3600.0,
    unsupported=unsupported_for_person,
    concurrency=2,
)
