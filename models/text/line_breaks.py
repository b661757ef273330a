"""Rate where lines and subtitles may break: between phrases, never within a name or a measure."""

from __future__ import annotations

import re
import unicodedata

FORBIDDEN = 100.0  # only where nothing else is possible
_AFTER_STOP, _AFTER_PHRASE, _BEFORE_CLAUSE, _NEUTRAL, _AFTER_ARTICLE = 0.0, 2.0, 6.0, 14.0, 30.0

_LEADS_ON = re.compile(  # what belongs to the word behind it: titles, initials, references
    r"[(“\"«‘'¿¡—–-]*(?:(?:Dr|Mr|Mrs|Ms|Prof|St|Mt|Sr|Sra|Srta|Dra|Hr|Fr|M|MM|Mme|Mlle|Fig|Abb|No|Nr"
    r"|Núm|p|pp|pág|S|Vol|Kap|Sec|Eq|г|ул|проф|им|рис|стр|डॉ)\.|(?:[^\W\d_]\.)+|§+|№|n°)"
)
_FIGURE = re.compile(r"[(“\"«$€£]*[+−-]?\d[\d.,:/]*")
_UNIT = re.compile(  # what belongs to the figure before it
    r"(?:%|‰|°[CF]?|[€$£¥]|[kKMGcmµnd]?(?:m|g|s|W|B|Hz|V|A|l|L|J|Pa|Wh|bit)[²³]?|h|min|Uhr|kg|km/h"
    r"|mph|a\.m|p\.m|am|pm|million|billion|Millionen|Mio|Mrd|percent|Prozent|euros?|Euro|dollars?"
    r"|руб|January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Januar|Februar|März|Mai|Juni|Juli|Oktober|Dezember|de|janvier|février|mars|avril|mai|juin"
    r"|juillet|août|septembre|octobre|novembre|décembre|\d.*)[.,;:!?)”\"»]*",
)
_ORDINAL = re.compile(r"\d{1,2}\.")
_CLAUSES = frozenset(
    re.findall(
        r"\w+",
        "and but or nor so yet because when while where which who that if although after before"
        " und aber oder denn weil dass wenn als während bevor nachdem damit sondern"
        " y e o u pero porque que cuando donde mientras aunque et ou mais car quand où qui dont"
        " и а но или что когда если потому который которая которое чтобы",
    )
)
_ARTICLES = frozenset(
    re.findall(
        r"\w+",
        "a an the of to in on at by for with from my his her its our their no not"
        " der die das den dem des ein eine einen einem einer im am zum zur von mit"
        " el la los las un una de del al en con le les une du des à au aux dans sur"
        " в на с к у о от до из за по не",
    )
)
_OPENING = tuple("([{“‘«¿¡「『（《【〈")
_CLOSING = tuple(
    ")]}”’»」』）》】〉、。，！？：；…・ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ%,.!?:;"
)


def break_penalty(before: str, after: str) -> float:
    """Return how bad it is to break between two units: 0 behind a sentence, 100 never.

    Units are words, or letters of scripts without spaces.
    """
    if not before or not after:
        return _AFTER_STOP
    if after.startswith(_CLOSING) or before.endswith(_OPENING):
        return FORBIDDEN
    if _LEADS_ON.fullmatch(before) or _belongs_to_figure(before, after):
        return FORBIDDEN
    end = before.rstrip("\"'”’»)」』）")
    if end.endswith((".", "!", "?", "…", "。", "！", "？", "।", "؟")):
        return _AFTER_STOP
    if end.endswith((",", ";", ":", "–", "—", "-", "，", "、", "；", "：", "،", "؛")):
        return _AFTER_PHRASE
    if after.strip('"“«‘(').lower() in _CLAUSES:
        return _BEFORE_CLAUSE
    if before.lower() in _ARTICLES:
        return _AFTER_ARTICLE
    return _AFTER_ARTICLE if _one_word(before[-1], after[0]) else _NEUTRAL


def _belongs_to_figure(before: str, after: str) -> bool:
    if _ORDINAL.fullmatch(before):  # "am 3. Oktober"
        return after[0].isupper()
    return bool(_FIGURE.fullmatch(before) and _UNIT.fullmatch(after))


def _one_word(before: str, after: str) -> bool:
    """Return whether both are katakana, or Latin letters or digits: one word of Japanese text."""
    kinds = [unicodedata.name(char, "").split(" ")[0] for char in (before, after)]
    return kinds[0] == kinds[1] == "KATAKANA"
