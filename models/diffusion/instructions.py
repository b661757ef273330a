"""The prompts of image editing models: instructions that say which reference picture is what.

An adapter is told by its place what its picture is for; an editing model (FLUX.2, Qwen-Image-Edit)
gets several pictures and a sentence. Both vendors' guides number the pictures as "image 1" and
"image 2", in the order in which they are passed.
"""

from __future__ import annotations

from models.diffusion.requests import DiffusionRequest


def edit_instruction(request: DiffusionRequest) -> str:
    """Return the prompt of ``request`` for an editing model.

    Image 1 is the picture that is edited, if there is one; the reference comes behind it.
    """
    words = request.prompt.strip().rstrip(".,;")
    if request.garment is not None:
        described = f", {words}" if words else ""
        return (
            f"Dress the person of image 1 in the garment of image 2{described}."
            " Take the garment's color, pattern, print and cut exactly from image 2."
            " Keep the face, the hair, the hands, the pose and the background of image 1."
        )
    if request.person is not None and request.image is not None:
        return (
            f"Edit image 1: {words}. The person in it becomes the person of image 2, with the same"
            " face, hair and skin."
        )
    if request.person is not None:
        return (
            f"Show the person of image 1 in a new picture: {words}."
            " Keep the face, the hair and the skin of image 1."
        )
    return request.prompt
