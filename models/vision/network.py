"""A network that looks at one picture, with the image processor that it was trained with."""

from __future__ import annotations

from typing import Any

import torch
from PIL.Image import Image

from models.memory.plans import execution_device
from models.profiles.load import Model
from models.weights.load import load_model


class VisionNetwork:
    """A transformers vision model with its image processor; several threads may call it."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self._processor = model.eval(), processor

    @classmethod
    def read(cls, model: Model, processor: Any) -> VisionNetwork:
        """``model`` on the CPU, with an image processor of the class ``processor``.

        The class is named, because the processor's own file may name one of an older release that
        is no more. It is the PIL one: its torchvision twin resizes a little differently, and not
        every machine has torchvision.
        """
        return cls(load_model(model), read_processor(model, processor))

    def __call__(self, image: Image, output_name: str) -> Any:
        """Run the network on ``image``; return the output ``output_name`` as float32 (1, ...)."""

        inputs = self._processor(images=image.convert("RGB"), return_tensors="pt")
        first = next(self.model.parameters())
        dtype = first.dtype if first.is_floating_point() else torch.float32
        pixels = inputs["pixel_values"].to(execution_device(self.model), dtype)
        with torch.inference_mode():
            outputs = self.model(pixel_values=pixels)
        return outputs[output_name].float()


def read_processor(model: Model, kind: Any) -> Any:
    """Read the image processor or tokenizer of ``model`` as an instance of ``kind``."""
    return kind.from_pretrained(
        model.source,
        subfolder=model.subfolder,
        revision=model.revision,
        local_files_only=True,
    )


def resize_to_image(values: Any, image: Image) -> Any:
    """Resize ``values``, float (1, channels, height, width), to ``image``, on the CPU."""

    return torch.nn.functional.interpolate(
        values, (image.height, image.width), mode="bilinear", align_corners=False
    ).cpu()
