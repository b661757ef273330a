"""Shorten text to a maximum length."""

from __future__ import annotations


def shorten(text: str, longest: int) -> str:
    """Cut ``text`` to ``longest`` characters, between words where possible, and add an ellipsis."""
    text = text.strip()
    if len(text) <= longest:
        return text
    head = text[: longest - 1]
    at = head.rfind(" ")
    return (head[:at] if at > longest // 2 else head).rstrip(" ,;:") + "…"
