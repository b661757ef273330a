"""The colors of PNG files without a profile: their gamma and primaries as an ICC profile.

Sources: PNG (Third Edition) 11.3.2, gAMA and cHRM; ICC.1:2001-04 for the profile. cICP chunks are
not read: Pillow does not report them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
# x and y of white, red, green and blue.
_SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_SRGB_GAMMA = 1 / 2.2
_CLOSE = 0.005  # a gamma or a primary so near to that of sRGB is meant to be it
_GAMMAS = (0.1, 2.0)  # others are mistakes


def profile_of_png(info: Mapping[str | tuple[int, int], Any]) -> bytes | None:
    """Return a profile of what a PNG's ``info`` (Pillow's) says in gAMA and cHRM chunks.

    ``None``: it says nothing, that it is sRGB, or what cannot be.
    """
    gamma = info.get("gamma")
    if "srgb" in info or not isinstance(gamma, float) or not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        return None
    primaries = tuple(info.get("chromaticity") or _SRGB)
    is_usual = max(abs(a - b) for a, b in zip(primaries, _SRGB, strict=True)) < _CLOSE
    is_srgb_curve = abs(gamma - _SRGB_GAMMA) < _CLOSE
    if is_usual and is_srgb_curve:
        return None
    matrix = _colorants(_SRGB if is_usual else primaries)
    if matrix is None:
        return None
    curve = _srgb_curve() if is_srgb_curve else _power_curve(1 / gamma)
    tags = {b"wtpt": _xyz(_D50)}
    for letter, colorant in zip((b"r", b"g", b"b"), matrix.T, strict=True):
        tags |= {letter + b"XYZ": _xyz(colorant), letter + b"TRC": curve}
    return _profile(tags)


def _colorants(primaries: tuple[float, ...]) -> Matrix | None:
    """Return red, green and blue as columns of XYZ under D50; ``None`` if they span no space."""
    points = np.array(primaries, np.float64).reshape(4, 2)
    if not np.isfinite(points).all() or (points[:, 1] <= 0).any():
        return None
    xyz = np.stack([points[:, 0], points[:, 1], 1 - points.sum(axis=1)]) / points[:, 1]
    white, colors = xyz[:, 0], xyz[:, 1:]
    if abs(np.linalg.det(colors)) < 1e-3:
        return None
    colors = colors * np.linalg.solve(colors, white)
    adapted = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    matrix: Matrix = np.linalg.inv(_BRADFORD) @ adapted @ _BRADFORD @ colors
    return matrix if np.abs(matrix).max() < 16 else None


def _xyz(values: Matrix) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(v) * 65536) for v in values))


def _power_curve(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256)) + bytes(2)


def _srgb_curve() -> bytes:
    levels = np.linspace(0, 1, 1024)
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    points = (light * 65535).round().astype(int)
    return b"curv" + bytes(4) + struct.pack(">I1024H", 1024, *points)


def _profile(tags: Mapping[bytes, bytes]) -> bytes:
    table, content = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, start + len(content), len(value))
        content += value
    head = struct.pack(">I4sI", start + len(content), b"", 0x02100000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", *(round(float(value) * 65536) for value in _D50))
    return head.ljust(128, b"\0") + table + content
