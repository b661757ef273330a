"""Texts made to fit where there is room for so many characters only."""

from __future__ import annotations


def shorten(text: str, longest: int) -> str:
    """At most ``longest`` characters, cut between words where there are any."""
    text = text.strip()
    if len(text) <= longest:
        return text
    head = text[: longest - 1]
    at = head.rfind(" ")
    return (head[:at] if at > longest // 2 else head).rstrip(" ,;:") + "…"
