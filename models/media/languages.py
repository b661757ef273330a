"""Convert language tags to the codes that video containers use."""

from __future__ import annotations

import langcodes
from langcodes.tag_parser import LanguageTagError


def iso639_2_code(tag: str) -> str:
    """Return the ISO 639-2 code for the BCP 47 ``tag``.

    Languages without such a code (Cantonese) get ISO 639-3; unknown languages get ``und``.
    """
    primary = tag.replace("_", "-").partition("-")[0]
    try:
        return langcodes.get(primary).to_alpha3(variant="T")
    except (LanguageTagError, LookupError):
        return "und"
