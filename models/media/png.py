"""Encode PNG files with generation metadata and the label for AI-generated media.

The label is the IPTC digital source type "trainedAlgorithmicMedia" in an XMP packet
(https://cv.iptc.org/newscodes/digitalsourcetype/), which image tools and platforms read.
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from PIL import Image, PngImagePlugin

AI_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP_KEY = "XML:com.adobe.xmp"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"


@dataclass(frozen=True)
class ImageMetadata:
    """The generation parameters that an image file stores."""

    prompt: str
    negative_prompt: str
    seed: int
    model: str
    steps: int
    guidance: float
    software: str = "Atelier"


def encode_png(image: Image.Image, metadata: ImageMetadata) -> bytes:
    """Encode ``image`` as PNG with text chunks (UTF-8), the XMP label and the mark of sRGB."""
    info = PngImagePlugin.PngInfo()
    info.add(b"sRGB", b"\0")  # rendering intent 0: perceptual
    for key, value in _texts(metadata).items():
        info.add_itxt(key, value)
    info.add_itxt(_XMP_KEY, xmp_packet(metadata))
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=info, icc_profile=None)  # a profile and sRGB exclude each other
    return out.getvalue()


def _texts(metadata: ImageMetadata) -> dict[str, str]:
    return {
        "Prompt": metadata.prompt,
        "Negative prompt": metadata.negative_prompt,
        "Seed": str(metadata.seed),
        "Model": metadata.model,
        "Steps": str(metadata.steps),
        "Guidance": str(metadata.guidance),
        "Software": metadata.software,
    }


def xmp_packet(metadata: ImageMetadata) -> str:
    """Build the XMP packet with the label for AI-generated media."""
    for prefix, uri in (("x", "adobe:ns:meta/"), ("rdf", _RDF), ("Iptc4xmpExt", _IPTC)):
        ET.register_namespace(prefix, uri)
    meta = ET.Element("{adobe:ns:meta/}xmpmeta")
    about = ET.SubElement(
        ET.SubElement(meta, f"{{{_RDF}}}RDF"), f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""}
    )
    ET.SubElement(about, f"{{{_IPTC}}}DigitalSourceType").text = AI_SOURCE_TYPE
    ET.SubElement(about, f"{{{_IPTC}}}AISystemUsed").text = f"{metadata.software} {metadata.model}"
    packet = ET.tostring(meta, encoding="unicode")
    begin = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    return f'{begin}{packet}<?xpacket end="w"?>'
