"""Miniatures of the film models. Traps: SVD resizes for its image encoder to 224 whatever the
encoder says; Wan's and LTX's autoencoders need their real time and space factors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    AutoencoderKLTemporalDecoder,
    AutoencoderKLWan,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LTXImageToVideoPipeline,
    LTXVideoTransformer3DModel,
    MotionAdapter,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from tests.support.miniatures import parts


def motion_adapter(folder: Path) -> Path:
    """Fits the UNet of :func:`tests.support.miniatures.pictures.stable_diffusion`."""
    torch.manual_seed(0)
    adapter = MotionAdapter(
        block_out_channels=(32, 64),
        motion_layers_per_block=1,
        motion_norm_num_groups=8,
        motion_num_attention_heads=2,
        motion_max_seq_length=16,
        use_motion_mid_block=False,
    )
    return parts.save(parts.lively(adapter), folder)


def stable_video_diffusion(folder: Path) -> Path:
    torch.manual_seed(0)
    unet = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=32,
        in_channels=8,
        out_channels=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=parts.WIDTH,
        num_attention_heads=(2, 4),
        projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32,
        num_frames=14,
    )
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        latent_channels=4,
        sample_size=32,
    )
    pipeline = StableVideoDiffusionPipeline(
        unet=parts.lively(unet),
        vae=vae.eval(),
        image_encoder=parts.clip_vision(224),
        feature_extractor=parts.clip_pictures(224),
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            timestep_type="continuous",
            sigma_min=0.002,
            sigma_max=700.0,
            use_karras_sigmas=True,
        ),
    )
    return parts.save(pipeline, folder)


def _wan_parts(in_channels: int, **more: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    text = UMT5Config(
        vocab_size=128, d_model=parts.WIDTH, d_kv=8, d_ff=37, num_layers=2, num_heads=4,
        dropout_rate=0.0,
    )  # fmt: skip
    transformer = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=in_channels,
        out_channels=16,
        text_dim=parts.WIDTH,
        freq_dim=32,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
        **more,
    )
    return {
        "vae": AutoencoderKLWan(
            base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1
        ).eval(),
        "text_encoder": UMT5EncoderModel(text).eval(),
        "tokenizer": parts.t5_tokenizer(),
        "transformer": parts.lively(transformer),
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    }


def wan_from_text(folder: Path) -> Path:
    """Wan 2.1 T2V."""
    return parts.save(WanPipeline(**_wan_parts(16)), folder)


def wan_from_picture(folder: Path) -> Path:
    """Wan 2.1 I2V: the picture in extra channels (16 latent, 4 mask) and in a CLIP encoder."""
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=4,
        projection_dim=4,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    return parts.save(
        WanImageToVideoPipeline(
            image_encoder=CLIPVisionModel(vision).eval(),
            image_processor=parts.clip_pictures(32),
            **_wan_parts(36, image_dim=4, added_kv_proj_dim=24),
        ),
        folder,
    )


def wan_in_two_stages(folder: Path) -> Path:
    """Wan 2.2 I2V: one denoiser for high noise, one for low; the picture in extra channels."""
    low = _wan_parts(36)["transformer"]
    return parts.save(
        WanImageToVideoPipeline(transformer_2=low, boundary_ratio=0.9, **_wan_parts(36)), folder
    )


def wan_from_either(folder: Path) -> Path:
    """Wan 2.2 TI2V: the picture is the first latent frame, at timestep zero; pixels in twos."""
    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=3,
        decoder_base_dim=3,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    )
    made = {**_wan_parts(16), "vae": vae.eval()}
    return parts.save(WanImageToVideoPipeline(expand_timesteps=True, **made), folder)


def ltx(folder: Path) -> Path:
    torch.manual_seed(0)
    transformer = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=1,
        caption_channels=parts.WIDTH,
    )
    channels, scaling = (8, 8, 8, 8), (True, True, True, False)
    vae = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=channels,
        decoder_block_out_channels=channels,
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=scaling,
        decoder_spatio_temporal_scaling=scaling,
        patch_size=4,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )
    pipeline = LTXImageToVideoPipeline(
        transformer=parts.lively(transformer),
        vae=vae.eval(),
        text_encoder=parts.t5_text(),
        tokenizer=parts.t5_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )
    return parts.save(pipeline, folder)
