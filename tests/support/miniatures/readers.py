"""Miniatures of the models that read pictures or write text."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTImageProcessorPil,
    GLPNConfig,
    GLPNForDepthEstimation,
    GLPNImageProcessorPil,
    Qwen3Config,
    Qwen3ForCausalLM,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
    Swin2SRConfig,
    Swin2SRForImageSuperResolution,
    VitsConfig,
    VitsModel,
)

from tests.support.miniatures import parts

# The labels of mattmdjaga/segformer_b2_clothes, as its config spells them.
ATR = (
    "Background", "Hat", "Hair", "Sunglasses", "Upper-clothes", "Skirt", "Pants", "Dress", "Belt",
    "Left-shoe", "Right-shoe", "Face", "Left-leg", "Right-leg", "Left-arm", "Right-arm", "Bag",
    "Scarf",
)  # fmt: skip


def segformer(folder: Path, labels: tuple[str, ...] = ATR) -> Path:
    torch.manual_seed(0)
    config = SegformerConfig(
        num_encoder_blocks=4,
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 2, 2, 4],
        decoder_hidden_size=32,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    SegformerImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return parts.save(SegformerForSemanticSegmentation(config).eval(), folder)


def depth_anything(folder: Path) -> Path:
    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=70,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    DPTImageProcessorPil(
        size={"height": 70, "width": 70}, keep_aspect_ratio=True, ensure_multiple_of=14
    ).save_pretrained(folder)
    return parts.save(DepthAnythingForDepthEstimation(config).eval(), folder)


def glpn(folder: Path) -> Path:
    """Predicts metres, where the others predict inverse distance."""
    torch.manual_seed(0)
    config = GLPNConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 2, 2, 4],
        decoder_hidden_size=8,
    )
    GLPNImageProcessorPil(size_divisor=32).save_pretrained(folder)
    return parts.save(GLPNForDepthEstimation(config).eval(), folder)


def swin2sr(folder: Path, factor: int = 4) -> Path:
    torch.manual_seed(0)
    config = Swin2SRConfig(
        image_size=16,
        embed_dim=16,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=8,
        upscale=factor,
        upsampler="nearest+conv" if factor == 4 else "pixelshuffle",
    )
    return parts.save(Swin2SRForImageSuperResolution(config).eval(), folder)


def qwen_writer(folder: Path) -> Path:
    tokenizer = parts.qwen_tokenizer()
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        bos_token_id=None,
        pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    )
    tokenizer.save_pretrained(folder)
    return parts.save(Qwen3ForCausalLM(config).eval(), folder)


def vits(folder: Path) -> Path:
    torch.manual_seed(0)
    config = VitsConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=16,
        flow_size=16,
        spectrogram_bins=9,
        upsample_initial_channel=16,
        upsample_rates=[8, 8],
        upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=2,
        posterior_encoder_num_wavenet_layers=2,
        duration_predictor_num_flows=2,
        depth_separable_num_layers=1,
    )
    return parts.save(VitsModel(config).eval(), folder)
