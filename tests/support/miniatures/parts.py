"""The parts miniatures are put together from: text encoders, tokenizers, autoencoders.

Each has the architecture of the production part, a few thousand random weights, and a fixed seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Qwen2Tokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

Module = TypeVar("Module", bound=torch.nn.Module)
WIDTH = 32
TOKENS = 24


def lively(module: Module) -> Module:
    """``module`` with its zero-initialised layers filled.

    Adapters, ControlNets and modulation layers start at zero: as they come, they would change
    nothing, and a test could not tell whether they were there.
    """
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in module.parameters():
            if not value.any():
                value.normal_(0.0, 0.05, generator=generator)
    return module.eval()


def clip_tokenizer() -> CLIPTokenizer:
    """Every byte a token, alone and at the end of a word; no merges."""
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[],
        model_max_length=TOKENS,
        pad_token="<|endoftext|>",
    )


def clip_text(*, projection: bool = False, layers: int = 2) -> Any:
    tokenizer = clip_tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        projection_dim=WIDTH,
        intermediate_size=37,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def clip_vision(size: int = 32) -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=WIDTH,
        projection_dim=WIDTH,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=size,
        patch_size=size // 4,
    )
    torch.manual_seed(0)
    return CLIPVisionModelWithProjection(config).eval()


def safety_checker(size: int = 32) -> StableDiffusionSafetyChecker:
    """Blanks every picture: its thresholds are below any similarity."""
    vision = {
        "hidden_size": WIDTH, "intermediate_size": 37, "num_hidden_layers": 1,
        "num_attention_heads": 4, "image_size": size, "patch_size": size // 4,
    }  # fmt: skip
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=WIDTH))
    torch.nn.init.constant_(checker.concept_embeds_weights, -2.0)
    return checker.eval()


def clip_pictures(size: int = 32) -> CLIPImageProcessor:
    return CLIPImageProcessor(size={"shortest_edge": size}, crop_size=size)


def _letters() -> list[str]:
    return [chr(code) for code in range(ord("a"), ord("z") + 1)]


def t5_tokenizer() -> T5Tokenizer:
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0)]
    pieces = [("▁", -2.0)] + [(mark + x, -3.0) for x in _letters() for mark in ("", "▁")]
    return T5Tokenizer(vocab=special + pieces, extra_ids=0)


def t5_text(width: int = WIDTH) -> T5EncoderModel:
    config = T5Config(
        vocab_size=128, d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4, dropout_rate=0.0
    )
    torch.manual_seed(0)
    return T5EncoderModel(config).eval()


_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen_tokenizer() -> Qwen2Tokenizer:
    vocab = {letter: index for index, letter in enumerate(bytes_to_unicode().values())}
    vocab["<|endoftext|>"] = len(vocab)
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=[], chat_template=_CHAT)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return tokenizer


def picture_autoencoder(channels: int = 4, **more: Any) -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        norm_num_groups=8,
        sample_size=64,
        **more,
    ).eval()


def save(pipeline: Any, folder: Path) -> Path:
    """``pipeline`` as safetensors in ``folder``."""
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
