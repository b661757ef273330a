"""What is in a file, told by libraries that did not write it: tests hold our writers against them.

WebVTT and SubRip are read by webvtt-py, the subtitle tracks of films by FFmpeg's decoders, GLB by
trimesh, the metadata of pictures by Pillow.
"""

from __future__ import annotations

import html
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import av
import numpy as np
import trimesh
import webvtt
from PIL import Image

from models.media.png import AI_SOURCE_TYPE, ImageMetadata
from models.media.subtitles import Cue
from models.mesh.mesh import Mesh, linear_to_srgb

_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_UNICODE = b"UNICODE\0"
_LABEL = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"


def cues_of_vtt(text: str) -> list[Cue]:
    """The cues of a WebVTT file as a player shows them; webvtt-py leaves ``&lt;`` as it is."""
    read = webvtt.from_string(text, strict=True)
    return [_cue(caption, html.unescape(caption.text)) for caption in read]


def cues_of_srt(text: str) -> list[Cue]:
    """The cues of a SubRip file, tags and all: its text is shown as it stands."""
    read = webvtt.from_buffer(io.StringIO(text), format="srt")
    return [_cue(caption, caption.raw_text) for caption in read]


def _cue(caption: webvtt.Caption, text: str) -> Cue:
    start, end = caption.start_time.in_milliseconds(), caption.end_time.in_milliseconds()
    return Cue(start / 1000, end / 1000, text)


def cues_of_film(path: Path) -> list[Cue]:
    """What FFmpeg would show of the first subtitle track; none if there is none."""
    cues = []
    with av.open(str(path)) as film:
        for packet in film.demux(film.streams.subtitles[:1]) if film.streams.subtitles else ():
            for shown in packet.decode():
                start = float(packet.pts * packet.time_base)
                length = float(packet.duration * packet.time_base)
                cues.append(Cue(start, start + length, shown.dialogue.decode()))
    return cues


def mesh_of_glb(source: bytes | Path) -> Mesh:
    """The one mesh of a GLB file, its vertex colours (linear light, bytes) as sRGB."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    scene = trimesh.load_scene(io.BytesIO(data), file_type="glb", process=False)
    [node] = scene.graph.nodes_geometry
    place, name = scene.graph[node]
    part = scene.geometry[name]
    light = part.visual.vertex_attributes["color"]
    assert light.dtype == np.uint8
    return Mesh(
        trimesh.transform_points(part.vertices, place).astype(np.float32),
        part.faces.astype(np.int32),
        linear_to_srgb(light[:, :3] / 255),
    )


def metadata_of_picture(data: bytes) -> ImageMetadata:
    """How a PNG, JPEG or WebP says that it was made; it must bear the label of AI-made media."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        texts, form = dict(image.info), image.format
        comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    packet = texts["XML:com.adobe.xmp" if form == "PNG" else "xmp"]
    root = ET.fromstring(packet)
    assert [label.text for label in root.iter(_LABEL)] == [AI_SOURCE_TYPE]
    if form != "PNG":
        assert comment.startswith(_UNICODE)
        return ImageMetadata(**json.loads(comment.removeprefix(_UNICODE).decode("utf-16-be")))
    return ImageMetadata(
        prompt=texts["Prompt"],
        negative_prompt=texts["Negative prompt"],
        seed=int(texts["Seed"]),
        model=texts["Model"],
        steps=int(texts["Steps"]),
        guidance=float(texts["Guidance"]),
        software=texts["Software"],
    )
