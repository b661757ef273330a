"""Language codes as films want them."""

from __future__ import annotations

import langcodes
from langcodes.tag_parser import LanguageTagError


def iso639_2_code(tag: str) -> str:
    """ISO 639-2 for the BCP 47 ``tag``, ISO 639-3 where that has no code (Cantonese); ``und`` where
    the language is not known."""
    primary = tag.replace("_", "-").partition("-")[0]
    try:
        return langcodes.get(primary).to_alpha3(variant="T")
    except (LanguageTagError, LookupError):
        return "und"
