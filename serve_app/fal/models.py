"""fal's names of models, and their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments.contract import GeneratorSpec
from serve_app.compat.aliases import named_generators
from serve_app.compat.inputs import media_input, translate_input
from serve_app.http.errors import NotFound
from serve_app.resources import Clients

OWNER = "atelier"
ALIASES: Mapping[str, str] = {
    "fal-ai/cat-vton": "cloth_swap",
    "fal-ai/fashn/tryon/v1.5": "cloth_swap",
    "fal-ai/fast-sdxl": "image",
    "fal-ai/fast-sdxl/image-to-image": "image",
    "fal-ai/fast-sdxl/inpainting": "image",
    "fal-ai/flux/dev": "image",
    "fal-ai/flux/dev/image-to-image": "image",
    "fal-ai/flux/schnell": "image",
    "fal-ai/flux-general/inpainting": "image",
    "fal-ai/flux-pro/v1.1": "image",
    "fal-ai/stable-diffusion-v35-large": "image",
}
# What models of fal call the fields of our generators.
FIELDS: Mapping[str, str] = {
    "guidance_scale": "guidance",
    "human_image_url": "person_image",
    "image_url": "init_image",
    "mask_url": "mask",
    "model_image": "person_image",
    "num_images": "n",
    "num_inference_steps": "steps",
    "num_samples": "n",
    "output_format": "format",
}
IMAGE_SIZES: Mapping[str, tuple[int, int]] = {
    "landscape_16_9": (1024, 576),
    "landscape_4_3": (1024, 768),
    "portrait_16_9": (576, 1024),
    "portrait_4_3": (768, 1024),
    "square": (512, 512),
    "square_hd": (1024, 1024),
}
GARMENTS = ("garment_image", "garment_image_url")
# What is translated above all else; where it cannot be, it is refused.
_HANDLED = ("image_size", *GARMENTS, "category", "cloth_type")
CATEGORIES = {
    "auto": "auto",
    "bottoms": "lower",
    "lower": "lower",
    "one-pieces": "dress",
    "overall": "dress",
    "tops": "upper",
    "upper": "upper",
}


def find_generator(clients: Clients, endpoint: str) -> GeneratorSpec[Any]:
    """Return the generator that answers to ``owner/app`` or ``owner/app/path``.

    Raises:
        NotFound: none does.
    """
    names = named_generators(clients, ALIASES)
    name = names.get(endpoint) or names.get(endpoint.removeprefix(f"{OWNER}/"))
    if name is None:
        raise NotFound(f"There is no model {endpoint[:100]} here.")
    return clients.catalog[name]


def generator_input(
    spec: GeneratorSpec[Any], endpoint: str, given: Mapping[str, Any], files_url: str
) -> dict[str, Any]:
    """Return what a client sends to ``endpoint`` as the input of a generator.

    Under a name of fal's, fields that neither has are ignored, as fal does; under the generator's
    own they are refused, as everywhere here.
    """
    values = dict(given)
    fields = spec.request.model_fields
    if "width" in fields:
        values = _with_size(values)
    if "garments" in fields:
        values = _with_garment(values, files_url)
    translated = translate_input(spec, values, FIELDS, files_url)
    if endpoint.removeprefix(f"{OWNER}/") == spec.name:
        return translated
    known = {*fields, *_HANDLED}
    return {name: value for name, value in translated.items() if name in known}


def _with_size(values: dict[str, Any]) -> dict[str, Any]:
    """A size that fal does not know stays, and is refused."""
    size = values.get("image_size")
    if isinstance(size, str) and size in IMAGE_SIZES:
        width, height = IMAGE_SIZES[size]
        size = {"width": width, "height": height}
    if not isinstance(size, dict) or size.keys() != {"width", "height"}:
        return values
    return {name: value for name, value in values.items() if name != "image_size"} | size


def _with_garment(values: dict[str, Any], files_url: str) -> dict[str, Any]:
    """Of two pictures of garments, the second stays, and is refused."""
    name = next((name for name in GARMENTS if name in values), None)
    if name is None or "garments" in values:
        return values
    garment: dict[str, Any] = {"image": media_input(values.pop(name), files_url)}
    kind = next((kind for kind in ("category", "cloth_type") if kind in values), None)
    if kind is not None:
        given = values.pop(kind)
        garment["category"] = CATEGORIES.get(given, given) if isinstance(given, str) else given
    return {**values, "garments": [garment]}
