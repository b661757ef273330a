"""Choose and format the numbers along an axis."""

from __future__ import annotations

import math


def axis_ticks(low: float, high: float, about: int) -> list[float]:
    """Return some ``about`` multiples of 1, 2, 2.5 or 5 times 10**n in ``low``..``high``."""
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * s for s in (1, 2, 2.5, 5, 10) if power * s >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def tick_label(value: float, step: float) -> str:
    """Format ``value`` with the digits that ``step`` needs; extreme numbers use powers of ten."""
    if abs(value) < step * 1e-6:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        mantissa, exponent = f"{value:.2e}".split("e")
        short = mantissa.rstrip("0").rstrip(".")
        power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{short}·10{power}".replace("-", "−")
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{value:.{min(digits + 1, 8)}f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")
