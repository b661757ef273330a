"""Draw an image as large as possible, with its caption."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from models.schemas.lesson import PictureScene
from models.slides.canvas import Canvas
from models.slides.composer import Composer
from models.slides.errors import MissingImage
from models.slides.layout import Box
from models.slides.shapes import PhotoSprite, rounded_rectangle_mask
from models.slides.timeline import SceneTimeline, TimelineEntry


def draw_picture(
    scene: PictureScene, canvas: Canvas, images: Mapping[str, Image.Image]
) -> SceneTimeline:
    """Lay out a picture scene: the image (RGB) is the only beat, and its caption follows."""

    if scene.image not in images:
        available = ", ".join(sorted(images)) or "none"
        raise MissingImage(f"there is no picture {scene.image!r}; given were: {available}")
    composer = Composer(canvas)
    body = composer.add_heading(scene.heading)
    area = composer.add_caption(scene.caption, body, beat=0, delay=0.4)
    given = images[scene.image].convert("RGB")
    scale = min(area.width / given.width, area.height / given.height)
    width, height = (max(1, round(side * scale)) for side in given.size)
    # Few pixels are shown as squares rather than smeared.
    kernel = Image.Resampling.NEAREST if scale >= 6 else Image.Resampling.LANCZOS
    resized = given.resize((width, height), kernel)
    x = round(area.x + (area.width - width) / 2)
    y = round(area.y + (area.height - height) / 2)
    corners = Image.fromarray(rounded_rectangle_mask(Box(x, y, width, height), 1.2 * composer.em))
    behind = Image.fromarray(composer.background[y : y + height, x : x + width])
    behind.paste(resized, mask=corners)
    photo = PhotoSprite(np.asarray(behind), x, y, slide=1.6 * composer.em)
    composer.entries.append(TimelineEntry(photo, 0, "picture", seconds=0.7))
    return composer.build_timeline(1)
