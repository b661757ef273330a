"""A picture file says how it was made and that a machine made it."""

import io

from PIL import Image

from models.media.png import AI_SOURCE_TYPE, ImageMetadata, encode_png
from tests.support.readers import metadata_of_picture

METADATA = ImageMetadata('ein Mädchen im Regen 雨 <&>"', "", 2**32 - 1, "atelier-tiny", 12, 3.5)


def test_what_is_written_is_read_back_and_the_pixels_are_unchanged() -> None:
    image = Image.new("RGB", (8, 8), (200, 10, 20))
    data = encode_png(image, METADATA)
    assert metadata_of_picture(data) == METADATA
    assert Image.open(io.BytesIO(data)).tobytes() == image.tobytes()


def test_the_ai_label_stands_in_an_xmp_packet() -> None:
    data = encode_png(Image.new("RGB", (8, 8)), METADATA)
    assert b"XML:com.adobe.xmp" in data
    assert AI_SOURCE_TYPE.encode() in data
