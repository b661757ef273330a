"""Real architectures with random weights: what a model costs depends on its shape alone.

The numbers are those of the published configurations; ``tests/unit/models/test_architectures.py``
holds each against the memory that the profiles give for it. Tokenizers are the miniatures' (every
byte a token), made here because a hub may not be reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.miniatures import parts


@contextmanager
def made_on(device: str, dtype: str) -> Iterator[None]:
    """Modules made inside are initialised on ``device`` at ``dtype``, never elsewhere first."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def clip_text(large: bool = False) -> Any:
    """CLIP ViT-L/14's text half (SD 1.5), or OpenCLIP bigG's, with a projection (SDXL's second)."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = parts.clip_tokenizer()
    width, layers, heads = (1280, 32, 20) if large else (768, 12, 12)
    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_act="gelu" if large else "quick_gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (CLIPTextModelWithProjection if large else CLIPTextModel)(config)


def clip_tokenizer() -> Any:
    tokenizer = parts.clip_tokenizer()
    tokenizer.model_max_length = 77
    return tokenizer


def picture_autoencoder(xl: bool = False) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=1024 if xl else 512,
        scaling_factor=0.13025 if xl else 0.18215,
        force_upcast=xl,
    )


def sd15_unet() -> Any:
    from diffusers import UNet2DConditionModel

    # The defaults are its blocks.
    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)


def sdxl_unet() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


def scheduler(kind: str, **options: Any) -> Any:
    """Schedulers compute on the CPU at float32, wherever the networks are."""
    import diffusers

    with made_on("cpu", "float32"):
        return getattr(diffusers, kind)(**options)


SD_NOISE = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
}  # fmt: skip


def safety_checker() -> Any:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    vision = {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16, "patch_size": 14, "image_size": 224, "projection_dim": 768,
    }  # fmt: skip
    return StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=768))


def stable_diffusion(checked: bool = False) -> Any:
    """SD 1.5; with its safety checker where ``checked``."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline(
        unet=sd15_unet(),
        vae=picture_autoencoder(),
        text_encoder=clip_text(),
        tokenizer=clip_tokenizer(),
        scheduler=scheduler("PNDMScheduler", skip_prk_steps=True, **SD_NOISE),
        safety_checker=safety_checker() if checked else None,
        feature_extractor=parts.clip_pictures(224) if checked else None,
        requires_safety_checker=checked,
    )


def stable_diffusion_xl() -> Any:
    from diffusers import StableDiffusionXLPipeline

    return StableDiffusionXLPipeline(
        unet=sdxl_unet(),
        vae=picture_autoencoder(xl=True),
        text_encoder=clip_text(),
        text_encoder_2=clip_text(large=True),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        scheduler=scheduler("EulerDiscreteScheduler", **SD_NOISE),
        add_watermarker=False,
    )


def flux2_klein() -> Any:
    """FLUX.2 [klein] 4B with its Qwen3-4B."""
    from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel

    transformer = Flux2Transformer2DModel(
        in_channels=128, num_layers=5, num_single_layers=20, attention_head_dim=128,
        num_attention_heads=24, joint_attention_dim=7680, guidance_embeds=False,
    )  # fmt: skip
    return Flux2KleinPipeline(
        transformer=transformer,
        vae=AutoencoderKLFlux2(),
        text_encoder=qwen3_4b(),
        tokenizer=parts.qwen_tokenizer(),
        scheduler=scheduler("FlowMatchEulerDiscreteScheduler", use_dynamic_shifting=True),
        is_distilled=True,
    )


def qwen3_4b() -> Any:
    return _qwen3(
        hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32,
        tie_word_embeddings=True,
    )  # fmt: skip


def qwen3_14b() -> Any:
    return _qwen3(
        hidden_size=5120, intermediate_size=17408, num_hidden_layers=40, num_attention_heads=40,
        tie_word_embeddings=False,
    )  # fmt: skip


def _qwen3(**sizes: Any) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=151936, num_key_value_heads=8, head_dim=128, max_position_embeddings=40960,
            bos_token_id=None, eos_token_id=None, **sizes,
        )
    )  # fmt: skip


def controlnet_xl() -> Any:
    """A ControlNet of SDXL."""
    from diffusers import ControlNetModel

    return ControlNetModel(
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


def controlnet() -> Any:
    from diffusers import ControlNetModel

    return ControlNetModel(cross_attention_dim=768, attention_head_dim=8)


def wan_5b() -> Any:
    """Wan 2.2 TI2V 5B with its UMT5-XXL."""
    from diffusers import AutoencoderKLWan, WanImageToVideoPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    text = UMT5Config(
        vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    )  # fmt: skip
    transformer = WanTransformer3DModel(
        in_channels=48, out_channels=48, num_layers=30, num_attention_heads=24,
        attention_head_dim=128, ffn_dim=14336,
    )  # fmt: skip
    vae = AutoencoderKLWan(
        base_dim=160, decoder_base_dim=256, z_dim=48, is_residual=True, in_channels=12,
        out_channels=12, patch_size=2, scale_factor_spatial=16,
        latents_mean=[0.0] * 48, latents_std=[1.0] * 48,
    )  # fmt: skip
    return WanImageToVideoPipeline(
        transformer=transformer,
        vae=vae,
        text_encoder=UMT5EncoderModel(text),
        tokenizer=parts.t5_tokenizer(),
        scheduler=scheduler(
            "UniPCMultistepScheduler", prediction_type="flow_prediction", use_flow_sigmas=True
        ),
        expand_timesteps=True,
    )


def clip_vision(huge: bool = True) -> Any:
    """OpenCLIP ViT-H/14 with its projection (IP-Adapter), or CLIP ViT-L/14 without (Shap-E)."""
    from transformers import CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

    if not huge:
        config = CLIPVisionConfig(
            hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
            num_attention_heads=16, patch_size=14,
        )  # fmt: skip
        return CLIPVisionModel(config)
    config = CLIPVisionConfig(
        hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16,
        patch_size=14, projection_dim=1024, hidden_act="gelu",
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config)


def grounding_dino() -> Any:
    """Grounding DINO tiny: Swin-T, BERT base and 900 queries."""
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        SwinConfig,
    )

    backbone = SwinConfig(
        embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7,
        out_indices=[2, 3, 4],
    )  # fmt: skip
    return GroundingDinoForObjectDetection(
        GroundingDinoConfig(backbone_config=backbone, text_config=BertConfig())
    )


def sam2() -> Any:
    """SAM 2.1 small, without what only films take."""
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    backbone = Sam2HieraDetConfig(
        blocks_per_stage=[1, 2, 11, 2], global_attention_blocks=[7, 10, 13]
    )
    return Sam2Model(Sam2Config(vision_config=Sam2VisionConfig(backbone_config=backbone)))


def swin2sr() -> Any:
    """Swin2SR for photographs, four times larger."""
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

    return Swin2SRForImageSuperResolution(Swin2SRConfig(upscale=4, upsampler="nearest+conv"))


def depth_anything() -> Any:
    """Depth Anything V2 Small: DINOv2 ViT-S/14 and a DPT head."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    # Not by keyword: transformers types it under another name than it takes it.
    stages: dict[str, Any] = {"out_features": ["stage3", "stage6", "stage9", "stage12"]}
    backbone = Dinov2Config(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14,
        reshape_hidden_states=False, **stages,
    )  # fmt: skip
    return DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone, reassemble_hidden_size=384, fusion_hidden_size=64,
            neck_hidden_sizes=[48, 96, 192, 384], head_hidden_size=32,
        )
    )  # fmt: skip


def shap_e() -> Any:
    from diffusers import PriorTransformer, ShapEImg2ImgPipeline
    from diffusers.pipelines.shap_e import ShapERenderer

    prior = PriorTransformer(
        num_attention_heads=16, attention_head_dim=64, num_layers=24, embedding_dim=1024,
        num_embeddings=1024, additional_embeddings=0, time_embed_act_fn="gelu",
        norm_in_type="layer", embedding_proj_norm_type="layer", encoder_hid_proj_type=None,
        added_emb_type=None, time_embed_dim=4096, embedding_proj_dim=1024, clip_embed_dim=2048,
    )  # fmt: skip
    return ShapEImg2ImgPipeline(
        prior=prior,
        image_encoder=clip_vision(huge=False),
        image_processor=parts.clip_pictures(224),
        shap_e_renderer=ShapERenderer(),
        scheduler=scheduler(
            "HeunDiscreteScheduler", beta_schedule="exp", num_train_timesteps=1024,
            prediction_type="sample", use_karras_sigmas=True, clip_sample=True,
        ),
    )  # fmt: skip
