"""What is kept of a prompt: what the denoiser takes, and not all that a language model says."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.diffusion.requests import DiffusionRequest
from models.profiles.load import Capability
from tests.support.drawing import drawing, plain, profile_of
from tests.support.miniatures import flows
from tests.support.miniatures.profile import entry


@pytest.mark.parametrize(
    ("kind", "build"),
    [("Flux2KleinPipeline", flows.flux2_klein), ("QwenImagePipeline", flows.qwen_image)],
)
def test_a_language_model_is_asked_once_and_only_what_the_denoiser_takes_is_kept(
    kind: str, build: Any, tmp_path: Path
) -> None:
    build(tmp_path)
    profile = profile_of(
        {"base": entry(kind, tmp_path)}, {Capability.TEXT_TO_IMAGE: "base"}, guidance=1.0
    )
    pipeline = plain(tmp_path, kind)
    with torch.no_grad():
        encoding = pipeline.encode_prompt("a cat", device=torch.device("cpu"))
    asked: list[torch.Size] = []

    def note(module: Any, _: Any, output: Any) -> None:
        if type(module).__name__ == type(pipeline.text_encoder).__name__:
            asked.append(output.logits.shape)

    hook = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        with drawing(profile) as pictures:
            for seed in range(3):
                pictures.generate(DiffusionRequest("a cat", seed, steps=2))
            kept = pictures._encoder_cache._bytes
    finally:
        hook.remove()
    sizes = [value.nbytes for value in encoding if isinstance(value, torch.Tensor)]
    assert kept == sum(sizes)
    assert all(shape[1] == 1 for shape in asked), "the logits of the whole prompt"
    assert len(asked) == 2, "once, and once more as the answer of the request's stand-in"
