"""How English is read where it is not written in words: money, units, dates, signs, formulas.

``RULES`` are applied from top to bottom. What they write, eSpeak NG reads as a person would.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

Reading: TypeAlias = str | Callable[[re.Match[str]], str]

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_MONTH = "|".join(_MONTHS)
_SHORT_MONTHS = {name[:3]: name for name in _MONTHS if name != "May"} | {"Sept": "September"}

# Before a name, a number, or anything.
_TITLES = {
    "Dr": "Doctor", "Prof": "Professor", "Mr": "Mister", "Mrs": "Mrs", "Ms": "Miz",
    "St.": "Saint", "Mt.": "Mount", "Rev.": "Reverend", "Gen.": "General", "Capt.": "Captain",
    "Lt.": "Lieutenant", "Sgt.": "Sergeant", "Col.": "Colonel", "Gov.": "Governor",
    "Sen.": "Senator",
}  # fmt: skip
_NUMBERED = {
    "no": "number", "nos": "numbers", "fig": "figure", "figs": "figures", "p": "page",
    "pp": "pages", "ch": "chapter", "chap": "chapter", "vol": "volume", "eq": "equation",
    "sec": "section", "art": "article",
}  # fmt: skip
_ABBREVIATIONS = {
    "e.g.": "for example", "i.e.": "that is", "vs.": "versus", "vs": "versus",
    "approx.": "approximately", "cf.": "compare", "et al.": "et al", "a.k.a.": "also known as",
    "w.r.t.": "with respect to", "Jr.": "Junior", "Sr.": "Senior", "dept.": "department",
    "ca.": "about", "avg.": "average", "incl.": "including",
    "aka": "also known as",
}  # fmt: skip
# eSpeak would read these as words.
_SPELLED = (
    "AD", "ADP", "AI", "API", "ATP", "ECG", "EEG", "ID", "IDE", "IPA", "IQ", "ISO", "ISS", "OS",
    "UAE", "UFO", "UI", "URL", "UV", "UX",
)  # fmt: skip


_UNITS = {  # one of them, several
    "km": ("kilometer", "kilometers"), "m": ("meter", "meters"),
    "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "µm": ("micrometer", "micrometers"), "nm": ("nanometer", "nanometers"),
    "mi": ("mile", "miles"), "ft": ("foot", "feet"), "yd": ("yard", "yards"),
    "kg": ("kilogram", "kilograms"), "g": ("gram", "grams"), "mg": ("milligram", "milligrams"),
    "µg": ("microgram", "micrograms"), "t": ("ton", "tons"), "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"), "l": ("liter", "liters"),
    "L": ("liter", "liters"), "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"), "s": ("second", "seconds"),
    "ms": ("millisecond", "milliseconds"), "ns": ("nanosecond", "nanoseconds"),
    "min": ("minute", "minutes"), "h": ("hour", "hours"), "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"), "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"), "GHz": ("gigahertz", "gigahertz"), "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"), "MW": ("megawatt", "megawatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"), "V": ("volt", "volts"), "J": ("joule", "joules"),
    "kJ": ("kilojoule", "kilojoules"), "N": ("newton", "newtons"), "Pa": ("pascal", "pascals"),
    "kPa": ("kilopascal", "kilopascals"), "hPa": ("hectopascal", "hectopascals"),
    "K": ("kelvin", "kelvins"), "mol": ("mole", "moles"), "kcal": ("kilocalorie", "kilocalories"),
    "cal": ("calorie", "calories"), "dB": ("decibel", "decibels"), "Ω": ("ohm", "ohms"),
    "KB": ("kilobyte", "kilobytes"), "kB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"), "mph": ("mile per hour", "miles per hour"),
    "fps": ("frame per second", "frames per second"), "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"), "°": ("degree", "degrees"),
    "%": ("percent", "percent"), "‰": ("per mille", "per mille"), "ha": ("hectare", "hectares"),
}  # fmt: skip
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_PER = {"h": "hour", "hr": "hour", "s": "second", "min": "minute", "d": "day"} | {
    unit: one for unit, (one, _) in _UNITS.items() if unit not in ("h", "hr", "s", "min")
}
_COINS = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny"), "¥": ("yen", "")}
_POWERS = {"2": "squared", "3": "cubed"}
_SMALL = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+−=()aehijklmnoprstuvx")
_RAISED = str.maketrans(
    "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", "0123456789+−=()abcdefghijklmnoprstuvwxyz"
)
_FRACTIONS = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅛": "1/8", "⅕": "1/5"}
_PARTS = {
    2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth",
    9: "ninth", 10: "tenth", 100: "hundredth",
}  # fmt: skip
_SIGNS = {
    "=": "equals", "≠": "is not equal to", "≈": "is about", "≤": "is at most", "≥": "is at least",
    "<": "is less than", ">": "is greater than", "≡": "is identical to", "±": "plus or minus",
    "×": "times", "⋅": "times", "·": "times", "÷": "divided by", "∝": "is proportional to",
    "∈": "is in", "→": "to", "⇒": "implies", "⟹": "implies", "∞": "infinity", "∑": "the sum of",
    "∫": "the integral of", "∂": "partial", "Δ": "delta", "&": "and", "∴": "therefore",
}  # fmt: skip
_ELEMENT = (
    r"(?:H|He|Li|Be|B|C|N|O|F|Ne|Na|Mg|Al|Si|P|S|Cl|Ar|K|Ca|Ti|Cr|Mn|Fe|Co|Ni|Cu|Zn|Br|Ag|Sn|I|Au"
    r"|Hg|Pb|U)"
)
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_OPERAND = r"[\w)\]°%′∞√(|−+]"
_NAME_OF_A = "eigh"  # "a" alone is an article to eSpeak, not a letter


def _unit(match: re.Match[str]) -> str:
    number, unit, per = match.group("number", "unit", "per")
    one, many = _UNITS[unit]
    if unit == "K" and match.group("space") is None:  # a resolution
        return f"{number}{unit}"
    name = one if number.lstrip("−-") in ("1", "1.0") or match.group("hyphen") else many
    said = f"{number} {_raised_unit(name, match.group('power'))}"
    return f"{said} per {_raised_unit(_PER[per], match.group('per_power'))}" if per else said


def _raised_unit(name: str, power: str) -> str:
    figure = power.translate(_RAISED).strip("^")
    if not figure:
        return name
    if name == "second":
        return f"{name} {_POWERS[figure]}"
    return f"{'square' if figure == '2' else 'cubic'} {name}"


def _money(match: re.Match[str]) -> str:
    sign, whole, part, scale = match.group("sign", "whole", "part", "scale")
    coin, small = _COINS[sign]
    many = coin if coin == "yen" or (whole == "1" and not scale and not part) else f"{coin}s"
    if scale:
        scale = {"k": "thousand", "m": "million", "bn": "billion", "b": "billion"}.get(
            scale.strip().lower(), scale.strip()
        )
        return f"{whole}{'.' + part if part else ''} {scale} {many}"
    if not part or len(part) != 2 or not small:
        return f"{whole}{'.' + part if part else ''} {many}"
    cents = "pence" if small == "penny" else f"{small}s"
    if int(part) == 0:
        return f"{whole} {coin if whole == '1' else many}"
    if whole == "0":
        return f"{int(part)} {small if part == '01' else cents}"
    said = f"{whole} {coin if whole == '1' else many}"
    return f"{said} and {int(part)} {small if part == '01' else cents}"


def _clock(match: re.Match[str]) -> str:
    hour, minute, half = match.group("hour", "minute", "half")
    past = "" if minute == "00" else f" oh {int(minute)}" if minute[0] == "0" else f" {minute}"
    if half:
        return f"{hour}{past} {_NAME_OF_A if half[0] in 'aA' else 'P'} M"
    return f"{hour}{past}" if past else f"{hour} o'clock"


def _year(match: re.Match[str]) -> str:
    left, right, plural = match.group("left", "right", "plural")
    if plural:
        tens = {
            "10": "tens", "20": "twenties", "30": "thirties", "40": "forties", "50": "fifties",
            "60": "sixties", "70": "seventies", "80": "eighties", "90": "nineties",
        }  # fmt: skip
        return f"{left} {tens[right]}" if right != "00" else f"{left} hundreds"
    if right == "00":
        return f"{left} hundred"
    return f"{left} oh {right[1]}" if right[0] == "0" else f"{left} {right}"


def _iso_date(match: re.Match[str]) -> str:
    year, month, day = match.groups()
    return f"{_MONTHS[int(month) - 1]} {_ordinal(int(day))}, {year}"


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 <= number % 100 <= 20 else ends.get(number % 10, 'th')}"


def _fraction(match: re.Match[str]) -> str:
    whole, top, bottom = match.group("whole"), int(match.group("top")), int(match.group("bottom"))
    part = _PARTS.get(bottom)
    if match.group() == "24/7":  # all day, every day
        return "24 7"
    if part is None or not 0 < top < bottom:
        return f"{match.group('whole') or ''}{top} over {bottom}"
    many = "halves" if part == "half" else f"{part}s"
    said = f"{'one' if top == 1 and not whole else 'a' if top == 1 else top}"
    said = f"{said} {part if top == 1 else many}"
    return f"{whole.strip()} and {said}" if whole else said


def _power(match: re.Match[str]) -> str:
    base, power = match.group("base"), match.group("power").translate(_RAISED).strip("^(){}")
    base = _NAME_OF_A if base == "a" else base
    if power in _POWERS:
        return f"{base} {_POWERS[power]}"
    power = power.replace("-", "−").replace("−", "minus ").replace("+", " plus ")
    return f"{base} to the power of {_NAME_OF_A if power == 'a' else power}"


def _molecule(match: re.Match[str]) -> str:
    if not re.search(r"[\d₀-₉]", match.group()):  # a word, such as "No"
        return match.group()
    return " ".join(re.findall(r"[A-Z]|[a-z]|\d+", match.group().translate(_SMALL))).replace(
        "A ", f"{_NAME_OF_A} "
    )


def _roman(match: re.Match[str]) -> str:
    values = [_ROMAN[letter] for letter in match.group("roman")]
    number = sum(
        -value if any(later > value for later in values[at + 1 : at + 2]) else value
        for at, value in enumerate(values)
    )
    return f"{match.group('before')} {number}"


def _lookup(table: dict[str, str], group: int = 1, after: str = "") -> Reading:
    return lambda match: table[match.group(group)] + after


def _any_of(table: dict[str, str]) -> str:
    return "|".join(sorted(map(re.escape, table), key=len, reverse=True))


_PATTERNS: tuple[tuple[str, Reading], ...] = (
    # what only looks different
    ("[\u00a0\u202f\u2009]", " "),
    ("[’‘ʼ]", "'"),
    (r"(?<=\s)–(?=\s)(?!\s[\d(]?\w?\s?[=<>])", "—"),
    # abbreviations
    (rf"\b({_any_of(_TITLES)})\.?(?= [A-Z])", _lookup(_TITLES)),
    (rf"\b({_any_of(_SHORT_MONTHS)})\.?(?= \d)", _lookup(_SHORT_MONTHS)),
    (rf"(?i)\b({_any_of(_NUMBERED)})\. ?(?=\d)", lambda m: f"{_NUMBERED[m[1].lower()]} "),
    (rf"(?<![\w.])({_any_of(_ABBREVIATIONS)})(?!\w)", _lookup(_ABBREVIATIONS)),
    (r"(?<![\w.])etc\.(?=\s*$|\s+[A-Z])", "et cetera."),
    (r"\betc\b\.?", "et cetera"),
    (r"\bPh\.?D\.?(?!\w)", "P H D"),
    (r"\bB\.?C\.?E?\.(?!\w)", "B C"),
    (r"\bA\.D\.", f"{_NAME_OF_A} D"),
    (r"\b(?:[A-Z]\.){2,}(?=\s+[a-z]|,)", lambda m: m.group().replace(".", " ").strip()),
    (rf"\b({'|'.join(_SPELLED)})(s?)\b", lambda m: " ".join(m.group(1)).replace("A ", "eigh ")
     + ("'s" if m.group(2) else "")),
    (r"\b(?P<before>(?:World )?War|Part|Chapter|Volume|Act|Scene|Book|Section|Type|Phase|Stage)"
     r" (?P<roman>[IVX]+)\b", _roman),
    # money, times and dates
    (r"(?P<sign>[$€£¥])\s?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<part>\d+))?"
     r"(?P<scale> (?:thousand|million|billion|trillion)\b|(?:k|m|bn|b)\b)?", _money),
    (r"(?<![\d:])(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?![\d:])"
     r"(?:\s?(?P<half>[aApP])\.?[mM]\b\.?)?", _clock),
    (r"\b(?P<hour>1[0-2]|[1-9])(?P<minute>)\s?(?P<half>[aApP])\.?[mM]\b\.?", lambda m:
     f"{m['hour']} {_NAME_OF_A if m['half'] in 'aA' else 'P'} M"),
    (r"\b(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\b", _iso_date),
    (rf"\b({_MONTH}) (\d{{1,2}})(?=,? \d{{4}}\b|[,.;:!?)]|\s|$)(?!\s?(?:{_UNIT})\b)",
     lambda m: f"{m[1]} {_ordinal(int(m[2]))}"),
    (rf"\b(\d{{1,2}}) ({_MONTH})\b", lambda m: f"the {_ordinal(int(m[1]))} of {m[2]}"),
    (rf"\bthe the (?=\d+(?:st|nd|rd|th) of (?:{_MONTH}))", "the "),
    # numbers with something
    (r"(?<![\d.,/])(?P<left>1[1-9]|20)(?P<right>\d0)'?(?P<plural>s)\b", _year),
    (rf"(?<=\d)\s?[–-]\s?(?=\d+(?:\.\d+)?\s?(?:{_UNIT})(?![\w/]))", " to "),
    (rf"(?<![\w.,])(?P<number>[−-]?\d[\d,]*(?:\.\d+)?)(?:(?P<hyphen>-)|(?P<space>\s))?"
     rf"(?P<unit>{_UNIT})(?P<power>(?:\^?[23]|[²³])?)(?:/(?P<per>{_any_of(_PER)})"
     rf"(?P<per_power>(?:\^?[23]|[²³])?))?(?![\w'’])", _unit),
    (r"(?<![\w.,/$-])(?P<left>1[1-9])(?P<right>\d\d)(?P<plural>)(?![\w/]|[.,]\d)", _year),
    (r"(?<![\w.,/$-])(?P<left>20)(?P<right>[1-9]\d)(?P<plural>)(?![\w/]|[.,]\d)", _year),
    (r"(?<=\d),(?=\d{3}\b)", ""),
    (r"#(?=\d)", "number "),
    (r"~\s?(?=\d)", "about "),
    (r"[½⅓⅔¼¾⅛⅕]", lambda m: f" {_FRACTIONS[m[0]]}"),
    (r"(?<![\w/.^])(?P<whole>\d+ +)?(?P<top>\d{1,3})/(?P<bottom>\d{1,3})(?![\w/]|\.\d)", _fraction),
    (r"(?<=\d):(?=\d)", " to "),
    (r"(?<=\d)\s?–\s?(?=\d)|(?<=\b\d)-(?=\d\b)|(?<=\b\d\d)-(?=\d\d\b)", " to "),
    # formulas
    (rf"\b(?:{_ELEMENT}[\d₀-₉]*){{2,}}(?!\w)", _molecule),
    (r"(?P<base>\)|\w)(?P<power>[⁰¹²³⁴-⁹⁺⁻ᵃ-ᶻⁿ]+|\^(?:\([^()]*\)|\{[^{}]*\}|[−-]?\w+))", _power),
    (r"(?<=\w)([₀-₉ₐ-ₜᵢⱼᵣᵤᵥₓ]+)", lambda m: " " + m[1].translate(_SMALL)),
    (r"√\s?\(", "the square root of ("),
    (r"√", "the square root of "),
    (rf"(?<={_OPERAND})\s?([{''.join(map(re.escape, _SIGNS))}])\s?(?={_OPERAND})",
     lambda m: f" {_SIGNS[m[1]]} "),
    (r"(?<=[\w)])\s\+\s(?=[\w(√−])|(?<=\b[a-zA-Z0-9])\+(?=[a-zA-Z0-9]\b)", " plus "),
    (r"(?<=[\w)])\s[−-]\s(?=[\w(√])|(?<=[\w)])−(?=[\w(])", " minus "),
    (r"(?<![\w)])[−-](?=\d)|−", "minus "),
    (r"(?<=\b\d)\s\*\s(?=\d)|(?<=\b\w)\s\*\s(?=\w\b)", " times "),
    (r"\b([a-zA-Z])\s?/\s?([a-zA-Z])\b|(?<=[\w)])\s/\s(?=[\w(])", lambda m:
     f"{m[1]} over {m[2]}" if m[1] else " over "),
    (r"\b([b-zA-Z])\(([a-z])\)", r"\1 of \2"),
    (r"(?<=\d)([a-z]|[a-cx-z]{2})\b(?!')", lambda m: " " + " ".join(m[1]).replace("a ", "eigh ")),
    (r"\ba(?= (?:equals|plus|minus|times|over|squared|cubed|divided by|to the power)\b)"
     r"|(?<=\bplus )a(?=[,.;]|$)|(?<=\bequals )a(?=[,.;]|$)|(?<=\bminus )a(?=[,.;]|$)", _NAME_OF_A),
)  # fmt: skip


RULES: tuple[tuple[re.Pattern[str], Reading], ...] = tuple(
    (re.compile(pattern), reading) for pattern, reading in _PATTERNS
)
"""A pattern, and what is read in its place."""
