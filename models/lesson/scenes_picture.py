"""Picture scenes: a picture as large as it can be, with its caption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from models.lesson.compose import Composer
from models.lesson.draw import Photo, rounded
from models.lesson.errors import MissingPicture
from models.lesson.layout import Box
from models.lesson.timeline import Entry

if TYPE_CHECKING:
    from PIL.Image import Image

    from models.lesson.script import PictureScene
    from models.lesson.stage import Stage
    from models.lesson.timeline import Timeline


def draw_picture(scene: PictureScene, stage: Stage, pictures: Mapping[str, Image]) -> Timeline:
    """The picture is the one beat; the caption comes right after it."""
    import numpy as np
    from PIL import Image as Pillow

    if scene.image not in pictures:
        known = ", ".join(sorted(pictures)) or "none"
        raise MissingPicture(f"there is no picture {scene.image!r}; given were: {known}")
    composer = Composer(stage)
    body = composer.heading(scene.heading)
    area = composer.caption(scene.caption, body, beat=0, delay=0.4)
    given = pictures[scene.image].convert("RGB")
    scale = min(area.width / given.width, area.height / given.height)
    width, height = (max(1, round(side * scale)) for side in given.size)
    # Few pixels are shown as squares rather than smeared.
    kernel = Pillow.Resampling.NEAREST if scale >= 6 else Pillow.Resampling.LANCZOS
    shown = given.resize((width, height), kernel)
    x = round(area.x + (area.width - width) / 2)
    y = round(area.y + (area.height - height) / 2)
    corners = Pillow.fromarray(rounded(Box(x, y, width, height), 1.2 * composer.em))
    behind = Pillow.fromarray(composer.ground[y : y + height, x : x + width])
    behind.paste(shown, mask=corners)
    photo = Photo(np.asarray(behind), x, y, slide=1.6 * composer.em)
    composer.entries.append(Entry(photo, 0, "picture", seconds=0.7))
    return composer.timeline(1)
