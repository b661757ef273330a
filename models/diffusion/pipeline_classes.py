"""The diffusers class for a task, with the components of a loaded pipeline."""

from __future__ import annotations

import inspect
from typing import Any

# Inpainting classes that diffusers' AutoPipelineForInpainting does not know.
_INPAINT_CLASSES = {
    "Flux2KleinPipeline": "Flux2KleinInpaintPipeline",
    "FluxKontextPipeline": "FluxKontextInpaintPipeline",
    "QwenImageEditPlusPipeline": "QwenImageEditInpaintPipeline",
}


def pipeline_class(pipeline: Any, task: str) -> Any:
    """Return the class for ``task``: text, image, inpaint, or garment (inpaint by a reference).

    An editing model has one class for pictures of any number. Where its inpainting class takes no
    reference (Qwen-Image-Edit), a garment is such an edit of the whole picture.

    Raises:
        ValueError: diffusers has no class for that task with these components.
    """
    import diffusers

    own = type(pipeline)
    if task == "text":
        return own
    if task in ("inpaint", "garment"):
        if "Inpaint" in own.__name__:
            return own
        if own.__name__ in _INPAINT_CLASSES:
            inpaint = getattr(diffusers, _INPAINT_CLASSES[own.__name__])
            return own if task == "garment" and not _takes(inpaint, "image_reference") else inpaint
        auto = diffusers.AutoPipelineForInpainting
    else:
        auto = diffusers.AutoPipelineForImage2Image
    try:
        return type(auto.from_pipe(pipeline))
    except ValueError:
        if _takes(own, "image"):
            return own
        raise


def _takes(kind: Any, name: str) -> bool:
    return name in inspect.signature(kind.__call__).parameters
