"""Processors that prepare pictures and text for vision language models."""

from __future__ import annotations

from typing import Any

from transformers import ProcessorMixin, Qwen2Tokenizer, Qwen2VLImageProcessorPil, Qwen2VLProcessor

from models.profiles.load import Model


class QwenPictureProcessor(Qwen2VLProcessor):
    """The processor of Qwen2-VL without its part for films, which needs torchvision.

    Qwen-Image-Edit shows its text encoder pictures only. torchvision is built for one build of
    torch, and would be one more package that must fit the machine.
    """

    def __init__(self, image_processor: Any = None, tokenizer: Any = None) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer)


def read_picture_processor(model: Model, subfolder: str) -> QwenPictureProcessor:
    """The processor of ``model`` in its folder ``subfolder``."""
    place: dict[str, Any] = {
        "revision": model.revision, "subfolder": subfolder, "local_files_only": True,
    }  # fmt: skip
    return QwenPictureProcessor(
        Qwen2VLImageProcessorPil.from_pretrained(model.source, **place),
        # By its class: the automatic one asks the hub for a configuration, which the folder lacks.
        Qwen2Tokenizer.from_pretrained(model.source, **place),
    )
