"""The request's words as the renderers know them."""

from __future__ import annotations

from deployments.generators.video3d.options import NAMED_COLORS, CameraMove, Gradient, Turntable
from deployments.generators.video3d.spec import Video3DRequest
from models.mesh.lighting import DRAMATIC, FLAT, SOFT, STUDIO
from models.mesh.turntable import Background, Color, Orbit, TurntableView
from models.parallax.camera_path import CameraPath

_LIGHTING = {"studio": STUDIO, "soft": SOFT, "dramatic": DRAMATIC, "flat": FLAT}
_STUDIO_BACKGROUND: Background = ((246, 247, 250), (204, 208, 216))
_DARK_BACKGROUND: Background = ((58, 62, 72), (26, 28, 34))


def turntable_view(request: Video3DRequest, size: tuple[int, int]) -> TurntableView:
    """How the mesh is looked at."""
    options = request.turntable or Turntable()
    return TurntableView(
        width=size[0],
        height=size[1],
        elevation=options.elevation,
        background=_background(request, options),
        lighting=_LIGHTING[options.lighting],
        shadow=options.shadow,
    )


def turntable_orbit(request: Video3DRequest) -> Orbit:
    """How the mesh turns."""
    options = request.turntable or Turntable()
    whole = options.turns.is_integer()
    return Orbit(
        seconds=request.seconds,
        fps=request.fps,
        turns=options.turns if options.direction == "left" else -options.turns,
        start=options.start,
        easing=request.easing or ("linear" if whole and request.loop else "ease_in_out"),
        loop=request.loop,
    )


def camera_path(request: Video3DRequest) -> CameraPath:
    """How the camera moves through the photo."""
    move = request.camera or CameraMove()
    path = CameraPath(move.path, move.strength, move.reverse, loop=request.loop)
    easing = request.easing or ("linear" if path.is_closed else "ease_in_out")
    return CameraPath(move.path, move.strength, move.reverse, easing, request.loop)


def _background(request: Video3DRequest, options: Turntable) -> Background | None:
    if request.background is None:
        return _DARK_BACKGROUND if options.lighting == "dramatic" else _STUDIO_BACKGROUND
    if request.background == "transparent":
        return None
    if isinstance(request.background, Gradient):
        return _color(request.background.top), _color(request.background.bottom)
    return _color(request.background)


def _color(text: str) -> Color:
    if text in NAMED_COLORS:
        return NAMED_COLORS[text]
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
