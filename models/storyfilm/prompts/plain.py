"""Build prompts in plain sentences, for most models."""

from __future__ import annotations

from collections.abc import Sequence

from models.storyfilm.prompts.base import FacePlacement, Prompt, Role, Shot

_FRAMINGS = {"wide": "wide shot", "medium": "medium shot", "close": "close-up"}


_MAX_CHARACTERS = 600  # characters that are taken of a narration where nothing says what is shown


class PlainPromptBuilder:
    """Build prompts for models that understand sentences."""

    def portrait_prompts(
        self, roles: Sequence[Role], shots: Sequence[Shot], style: str
    ) -> list[str]:
        return [
            _listed(
                f"portrait of {_describe(role)}",
                "one person, head and shoulders, facing the camera, plain background",
                style,
            )
            for role in roles
        ]

    def scene_prompts(
        self, roles: Sequence[Role], shots: Sequence[Shot], style: str
    ) -> list[Prompt]:
        roles_by_name = {role.name: role for role in roles}
        prompts = []
        for shot in shots:
            seen = [roles_by_name[name] for name in shot.people]
            looks = "; ".join(_introduce(role) for role in seen)
            subject = shot.text or shot.narration[:_MAX_CHARACTERS] or ", ".join(shot.people)
            text = _listed(_FRAMINGS[shot.framing], _ended(subject), looks, style)
            prompts.append(Prompt(text))
        return prompts

    def face_placement(self, framing: str) -> FacePlacement:
        return FacePlacement(face=(0.5, 0.35), zoom=1.0)


def _describe(role: Role) -> str:
    return _ended(role.description) or role.name


def _introduce(role: Role) -> str:
    looks = _ended(role.description)
    if not looks or role.name in looks:
        return looks or role.name
    return f"{role.name} is {looks}"


def _ended(text: str) -> str:
    return text.strip().rstrip(".,;:").strip()


def _listed(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
