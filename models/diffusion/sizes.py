"""The size at which a profile's weights draw a picture of some shape."""

from __future__ import annotations

from models.profiles.load import Capability, Profile

DEFAULT_SIDE = 512


def size_of_aspect(
    profile: Profile, capability: Capability, aspect: float, multiple: int = 8
) -> tuple[int, int]:
    """Width and height of the usual area and nearest to ``aspect`` (width over height).

    Both are whole multiples of ``multiple``, unless the profile's limits are none.
    """
    width, height = usual_size(profile, capability)
    use, base = (
        profile.capability_config(capability),
        profile.capability_config(Capability.TEXT_TO_IMAGE),
    )
    low = use.min_size or base.min_size or multiple
    high = use.max_size or base.max_size or max(width, height)
    ideal = (width * height * aspect) ** 0.5

    def side(length: float) -> int:
        return min(max(multiple * round(length / multiple), low), high)

    return side(ideal), side(ideal / aspect)


def usual_size(profile: Profile, capability: Capability) -> tuple[int, int]:
    """Width and height where nobody says another."""
    use, base = (
        profile.capability_config(capability),
        profile.capability_config(Capability.TEXT_TO_IMAGE),
    )
    return use.width or base.width or DEFAULT_SIDE, use.height or base.height or DEFAULT_SIDE
