"""Miniatures of the flow-matching transformers: FLUX, FLUX.2 klein, Z-Image, Qwen-Image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImageControlNetModel,
    QwenImageEditPlusPipeline,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
)

from tests.support.miniatures import parts


def flux(folder: Path) -> Path:
    """The schnell kind: no guidance embedding."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=parts.WIDTH,
        pooled_projection_dim=parts.WIDTH,
        axes_dims_rope=(4, 4, 8),
    )
    pipeline = FluxPipeline(
        transformer=parts.lively(transformer),
        vae=parts.picture_autoencoder(use_quant_conv=False, use_post_quant_conv=False,
                                      shift_factor=0.1, scaling_factor=0.36),
        text_encoder=parts.clip_text(),
        tokenizer=parts.clip_tokenizer(),
        text_encoder_2=parts.t5_text(),
        tokenizer_2=parts.t5_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )  # fmt: skip
    return parts.save(pipeline, folder)


def flux2_klein(folder: Path) -> Path:
    """Reads layers 9, 18 and 27 of its text encoder, so that has 28 of them."""
    torch.manual_seed(0)
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * 16,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    # Trained statistics of the patched latents, not the ones of a fresh layer.
    torch.nn.init.uniform_(vae.bn.running_mean, -0.5, 0.5)
    torch.nn.init.uniform_(vae.bn.running_var, 0.5, 3.0)
    pipeline = Flux2KleinPipeline(
        transformer=parts.lively(transformer),
        vae=vae.eval(),
        text_encoder=Qwen3ForCausalLM(_qwen3(hidden=16, layers=28)).eval(),
        tokenizer=parts.qwen_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        is_distilled=True,
    )
    return parts.save(pipeline, folder)


def stable_diffusion_3(folder: Path) -> Path:
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=2 * parts.WIDTH,  # of the T5; both CLIPs beside each other have as much
        caption_projection_dim=32,
        pooled_projection_dim=2 * parts.WIDTH,
        pos_embed_max_size=64,
    )
    pipeline = StableDiffusion3Pipeline(
        transformer=parts.lively(transformer),
        vae=parts.picture_autoencoder(use_quant_conv=False, use_post_quant_conv=False,
                                      shift_factor=0.06, scaling_factor=1.5),
        text_encoder=parts.clip_text(projection=True),
        tokenizer=parts.clip_tokenizer(),
        text_encoder_2=parts.clip_text(projection=True),
        tokenizer_2=parts.clip_tokenizer(),
        text_encoder_3=parts.t5_text(2 * parts.WIDTH),
        tokenizer_3=parts.t5_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )  # fmt: skip
    return parts.save(pipeline, folder)


def z_image(folder: Path) -> Path:
    torch.manual_seed(0)
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 4, 8],
        axes_lens=[1024, 64, 64],
    )
    pipeline = ZImagePipeline(
        transformer=parts.lively(transformer),
        vae=parts.picture_autoencoder(use_quant_conv=False, use_post_quant_conv=False,
                                      shift_factor=0.1, scaling_factor=0.36),
        text_encoder=Qwen3Model(_qwen3(hidden=16, layers=2)).eval(),
        tokenizer=parts.qwen_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )  # fmt: skip
    return parts.save(pipeline, folder)


def _qwen3(hidden: int, layers: int) -> Qwen3Config:
    tokenizer = parts.qwen_tokenizer()
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=None,
    )


_QWEN_SHAPE: dict[str, Any] = {
    "in_channels": 16,
    "num_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 16,
    "axes_dims_rope": (4, 6, 6),
}


def qwen_image(folder: Path) -> Path:
    return parts.save(QwenImagePipeline(**_qwen_parts()), folder)


def qwen_image_edit(folder: Path) -> Path:
    """Brings its reference picture to a megapixel whatever its size: the slow one of these.

    Its processor is saved as on the hub, with a part for films that needs torchvision.
    """
    made = _qwen_parts()
    parts.save(QwenImageEditPlusPipeline(processor=None, **made), folder)
    _save_qwen_processor(made["tokenizer"], folder / "processor")
    index = folder / "model_index.json"
    said = json.loads(index.read_text()) | {"processor": ["transformers", "Qwen2VLProcessor"]}
    index.write_text(json.dumps(said))
    return folder


def _save_qwen_processor(tokenizer: Any, folder: Path) -> None:
    tokenizer.save_pretrained(folder)
    kind = {"processor_class": "Qwen2VLProcessor"}
    pixels = {"min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14, "merge_size": 2}
    seen = {**kind, **pixels, "image_processor_type": "Qwen2VLImageProcessorFast"}
    (folder / "preprocessor_config.json").write_text(json.dumps(seen))
    filmed = {**kind, **pixels, "video_processor_type": "Qwen2VLVideoProcessor"}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(filmed))


def qwen_image_controlnet(folder: Path) -> Path:
    """Fits :func:`qwen_image`."""
    torch.manual_seed(0)
    shape = {**_QWEN_SHAPE, "out_channels": 4}
    return parts.save(parts.lively(QwenImageControlNetModel(**shape)), folder)


def _qwen_parts() -> dict[str, Any]:
    tokenizer = parts.qwen_tokenizer()
    extra = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": extra})
    start, end, image, video = tokenizer.convert_tokens_to_ids(extra)
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2],
            },
            "bos_token_id": None,
            "eos_token_id": None,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
            "fullatt_block_indexes": [1],
        },
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
    )  # fmt: skip
    vae = AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 2, 2], num_res_blocks=1,
        temperal_downsample=[False, True], latents_mean=[-0.7, 0.1, 0.4, 1.2],
        latents_std=[2.8, 1.6, 3.2, 2.1],
    )  # fmt: skip
    return {
        "transformer": parts.lively(QwenImageTransformer2DModel(**_QWEN_SHAPE, out_channels=4)),
        "vae": vae.eval(),
        "text_encoder": Qwen2_5_VLForConditionalGeneration(config).eval(),
        "tokenizer": tokenizer,
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    }
