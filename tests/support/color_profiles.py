"""ICC profiles made here, and colors written in them by formulas that LittleCMS has no part in."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

# Columns: red, green, blue as XYZ under D50.
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
ADOBE = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])
SWAPPED = SRGB[:, [1, 2, 0]]  # green, blue, red: nobody takes it for sRGB
D50 = (0.9642, 1.0, 0.8249)
# The inks of the CMYK profile, as Lab under D50: what is printed where bit 8 is cyan, 4 magenta,
# 2 yellow and 1 black.
INKS = [
    (95, 0, 0), (12, 0, 0), (85, -5, 70), (10, 0, 5),
    (50, 55, 0), (9, 3, 0), (48, 50, 32), (8, 2, 0),
    (60, -25, -35), (10, 0, 0), (52, -45, 22), (8, 0, 0),
    (30, 12, -30), (7, 0, 0), (22, 0, 0), (5, 0, 0),
]  # fmt: skip


def decode(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels of sRGB, 0..1, as linear light."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def encode(light: NDArray[np.float64]) -> NDArray[np.float64]:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def in_space(colors: NDArray[np.uint8], matrix: NDArray[np.float64], gamma: float | None = None):  # type: ignore[no-untyped-def]
    """The same sRGB ``colors`` (..., 3) as they are written in another space; uint8."""
    light = decode(colors / 255) @ (np.linalg.inv(matrix) @ SRGB).T
    levels = encode(light) if gamma is None else np.clip(light, 0, 1) ** (1 / gamma)
    return (levels * 255).round().astype(np.uint8)


def lab_in_srgb(lab: tuple[float, float, float]) -> NDArray[np.float64]:
    """A color of CIE Lab under D50 in levels of sRGB, 0..255."""
    y = (lab[0] + 16) / 116
    parts = np.array([y + lab[1] / 500, y, y - lab[2] / 200])
    xyz = np.where(parts > 6 / 29, parts**3, 3 * (6 / 29) ** 2 * (parts - 4 / 29)) * D50
    return encode(np.linalg.inv(SRGB) @ xyz) * 255


def rgb_profile(matrix: NDArray[np.float64], gamma: float | None = None) -> bytes:
    """A display profile; its curve is that of sRGB without ``gamma``."""
    tags = {b"wtpt": _xyz(D50)}
    for column, name in enumerate(b"rgb"):
        tags[bytes([name]) + b"XYZ"] = _xyz(matrix[:, column])
        tags[bytes([name]) + b"TRC"] = _curve(gamma)
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def gray_profile(gamma: float) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(D50), b"kTRC": _curve(gamma)})


def cmyk_profile() -> bytes:
    """A printer's profile of two levels an ink: between them it is linear in Lab."""
    straight = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (number % 4 == 0) for number in range(9)))
    grid = bytes(
        round(value)
        for light, a, b in INKS
        for value in (light * 2.55, a + 128, b + 128)
    )  # fmt: skip
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + straight * 4 + grid + straight * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(D50), b"A2B0": table})


def _xyz(values: object) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))  # type: ignore[attr-defined]


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    points = (decode(np.linspace(0, 1, 1024)) * 65535).round().astype(int)
    return b"curv" + bytes(4) + struct.pack(">I1024H", 1024, *points)


def _profile(kind: bytes, space: bytes, between: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, content = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, start + len(content), len(value))
        content += value
    head = struct.pack(">I4sI4s4s4s", start + len(content), b"", 0x02100000, kind, space, between)
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", *(round(value * 65536) for value in D50))
    return head.ljust(128, b"\0") + table + content
