"""The neural voices that come from packages; the ingress checks names of voices by them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

KOKORO_VOICES: Mapping[str, str] = MappingProxyType(
    {
        "af_heart": "en-us",
        "af_bella": "en-us",
        "am_michael": "en-us",
        "am_fenrir": "en-us",
        "bf_emma": "en-gb",
        "bm_george": "en-gb",
        "ef_dora": "es",
        "em_alex": "es",
        "ff_siwis": "fr",
        "hf_alpha": "hi",
        "hm_omega": "hi",
        "if_sara": "it",
        "im_nicola": "it",
        "pf_dora": "pt-br",
        "pm_alex": "pt-br",
    }
)
"""Kokoro's voices and their languages (BCP 47, lower case); the first of a language is usual.

The second letter of a name tells women (f) from men (m).
"""
