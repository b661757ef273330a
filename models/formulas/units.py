"""Numbers with units: ``\\SI{9.8}{m/s^2}``, ``\\qty{3}{\\kilo\\gram}``, after siunitx."""

from __future__ import annotations

import re

from models.formulas.environments import Environments
from models.formulas.tree import Formula

_NUMBER = re.compile(
    r"\s*([-+]?)\s*(\d[\d\s]*(?:[.,]\d+)?|[.,]\d+)?\s*(?:\((\d+)\))?"
    r"(?:\s*(?:\\pm|\+-|±)\s*(\d+(?:[.,]\d+)?))?"
    r"(?:\s*(?:[eEdD]|(?:\\times|\\cdot|[x×*])\s*10\s*\^)\s*\{?([-+]?\d+)\}?)?\s*$"
)
_PREFIXES = {
    "quecto": "q", "ronto": "r", "yocto": "y", "zepto": "z", "atto": "a", "femto": "f",
    "pico": "p", "nano": "n", "micro": "μ", "milli": "m", "centi": "c", "deci": "d",
    "deca": "da", "deka": "da", "hecto": "h", "kilo": "k", "mega": "M", "giga": "G",
    "tera": "T", "peta": "P", "exa": "E", "zetta": "Z", "yotta": "Y", "ronna": "R",
    "quetta": "Q", "kibi": "Ki", "mebi": "Mi", "gibi": "Gi", "tebi": "Ti",
}  # fmt: skip
_UNITS = {
    "ampere": "A", "candela": "cd", "kelvin": "K", "kilogram": "kg", "gram": "g", "meter": "m",
    "metre": "m", "mole": "mol", "second": "s", "becquerel": "Bq", "degreeCelsius": "°C",
    "celsius": "°C", "coulomb": "C", "farad": "F", "gray": "Gy", "hertz": "Hz", "henry": "H",
    "joule": "J", "katal": "kat", "lumen": "lm", "lux": "lx", "newton": "N", "ohm": "Ω",
    "pascal": "Pa", "radian": "rad", "siemens": "S", "sievert": "Sv", "steradian": "sr",
    "tesla": "T", "volt": "V", "watt": "W", "weber": "Wb", "astronomicalunit": "au",
    "bel": "B", "decibel": "dB", "dalton": "Da", "day": "d", "electronvolt": "eV",
    "hectare": "ha", "hour": "h", "liter": "L", "litre": "l", "minute": "min", "neper": "Np",
    "tonne": "t", "arcminute": "′", "arcsecond": "″", "degree": "°", "percent": "%",
    "angstrom": "Å", "bar": "bar", "atmosphere": "atm", "bit": "bit", "byte": "B", "knot": "kn",
    "calorie": "cal", "mmHg": "mmHg", "inch": "in", "foot": "ft", "mile": "mi", "pound": "lb",
    "molar": "M", "rpm": "rpm", "year": "a",
    # The short names of siunitx.
    "kg": "kg", "g": "g", "mg": "mg", "m": "m", "km": "km", "cm": "cm", "mm": "mm", "um": "μm",
    "nm": "nm", "s": "s", "ms": "ms", "us": "μs", "ns": "ns", "mol": "mol", "mmol": "mmol",
    "A": "A", "mA": "mA", "l": "l", "ml": "ml", "L": "L", "mL": "mL", "N": "N", "kN": "kN",
    "Pa": "Pa", "kPa": "kPa", "J": "J", "kJ": "kJ", "eV": "eV", "keV": "keV", "MeV": "MeV",
    "W": "W", "kW": "kW", "kWh": "kWh", "V": "V", "kV": "kV", "mV": "mV", "Hz": "Hz",
    "kHz": "kHz", "MHz": "MHz", "GHz": "GHz", "K": "K", "F": "F", "T": "T", "dB": "dB",
    "micrometer": "μm", "micrometre": "μm", "nanometer": "nm", "millimeter": "mm",
    "centimeter": "cm", "kilometer": "km",
}  # fmt: skip
_TOKEN = re.compile(
    r"\\([A-Za-z]+)\s*|\^\s*(?:\{\s*([-+−]?\d+)\s*\}|([-+−]?\d+))"
    r"|([A-Za-zµμΩÅ°℃%′″]+)|([./*·⋅~()\s,])|\\([,;:! %])|\{\}"
)
_CLOSE = frozenset("°′″")  # stand at their number without a space


class Units(Environments):
    """The commands of siunitx."""

    def quantity(self, name: str) -> Formula:
        self.optional_argument()
        start = self.at
        if name in ("unit", "si"):
            return self.unit(self.raw_argument(), start)
        number = self.raw_argument()
        if name == "ang":
            return self.angle(number, start)
        shown = self.written_number(number, start)
        if name == "num":
            return shown
        self.optional_argument()
        start = self.at
        source = self.raw_argument()
        unit = self.unit(source, start)
        text = "".join(str(part[1]) for part in unit[1:2] if part[0] == "unit")
        gap: list[Formula] = [] if text and text[0] in _CLOSE and len(text) == 1 else [_GAP]
        return ["seq", *shown[1:], *gap, *unit[1:]]

    def written_number(self, number: str, start: int) -> Formula:
        found = _NUMBER.match(number)
        if found is None or not (found[2] or found[5]):
            if re.fullmatch(r"[\d.,;\s-]+(?:to|bis|--|–)[\d.,\s-]+", number):
                return self.nested(number.replace("to", "–").replace("--", "–"))
            return self.nested(number)
        sign, digits, spread, error, power = found.groups()
        parts: list[Formula] = [["sym", "−"]] if sign == "-" else []
        parts += [["sym", "+"]] if sign == "+" else []
        parts += [["num", _grouped(digits)]] if digits else []
        parts += [["num", f"({spread})"]] if spread else []
        parts += [["sym", "±"], ["num", error]] if error else []
        if power:
            exponent = power.replace("-", "−").removeprefix("+")
            parts += [["sym", "×"]] if digits else []
            parts += [["attach", ["num", "10"], None, ["num", exponent], False]]
        if error and not power:
            return ["seq", ["lr", "(", ["seq", *parts], ")"]]
        return ["seq", *parts]

    def angle(self, number: str, start: int) -> Formula:
        parts: list[Formula] = []
        for piece, mark in zip(number.split(";"), "°′″", strict=False):
            if piece.strip():
                parts += [*self.written_number(piece, start)[1:], ["num", mark]]
        if not parts:
            raise self.error("\\ang has degrees; minutes; seconds", start)
        return ["seq", *parts]

    def unit(self, source: str, start: int) -> Formula:
        """Upright letters, a thin space between units, powers as written or after ``\\per``."""
        parts: list[Formula] = []
        at, prefix, sign, power, gap = 0, "", "", "", False
        while at < len(source):
            found = _TOKEN.match(source, at)
            if not found:
                raise self.error(f"{source[at]!r} is not known in a unit", start)
            at = found.end()
            name, braced, bare, letters, between, _ = found.groups()
            if exponent := braced or bare:
                _raise(parts, exponent)
            elif name == "per":
                sign = "-"
            elif name in ("square", "cubic"):
                power = {"square": "2", "cubic": "3"}[name]
            elif name in ("squared", "cubed"):
                _raise(parts, {"squared": "2", "cubed": "3"}[name])
            elif name in ("tothe", "raiseto", "of", "mathrm", "text", "rm"):
                inside = re.compile(r"\{([^{}]*)\}|\s*").match(source, at)
                value = inside[1] or "" if inside else ""
                at = inside.end() if inside else at
                if name == "tothe":
                    _raise(parts, value)
                elif name in ("mathrm", "text", "rm"):
                    parts.append(["unit", value])
                elif name == "of":
                    parts.append(["unit", f"({value})"])
                else:
                    power = value
            elif name in _PREFIXES:
                prefix += _PREFIXES[name]
            elif name in ("cdot", "times"):
                parts.append(["sym", "⋅"])
                gap = False
            elif name and name not in _UNITS:
                raise self.error(f"the unit \\{name} is not known: write its letters", start)
            elif name or letters:
                text = prefix + (_UNITS[name] if name else letters)
                parts += [_GAP] if gap else []
                parts.append(["unit", text.replace("µ", "μ")])
                if sign or power:
                    _raise(parts, sign + (power or "1"))
                prefix, sign, power, gap = "", "", "", True
            elif between in ("/", "(", ")", "·", "⋅", "*", ","):
                parts.append(["num", "⋅" if between in "*⋅·" else between])
                gap = False
        if prefix or not parts:
            raise self.error("a unit is missing here", start)
        return ["seq", *parts]


_GAP: Formula = ["space", 0.17]


def _raise(parts: list[Formula], exponent: str) -> None:
    """Give the last unit a power; after ``\\per`` it is negative already."""
    if not parts or parts[-1][0] not in ("unit", "attach"):
        return
    base = parts[-1]
    shown = exponent.replace("-", "−").removeprefix("+")
    if base[0] == "attach":
        shown = shown if shown.startswith("−") else f"−{shown}"
        base = base[1]
    parts[-1] = ["attach", base, None, ["num", shown], False]


def _grouped(digits: str) -> str:
    """Thin spaces between groups of three, from five digits on."""
    bare = "".join(digits.split())
    whole, point, rest = bare.partition("." if "." in bare else ",")
    if len(whole) >= 5:
        head = len(whole) % 3
        groups = [whole[:head]] if head else []
        whole = "\u2009".join([*groups, *(whole[i : i + 3] for i in range(head, len(whole), 3))])
    return whole + point + rest
