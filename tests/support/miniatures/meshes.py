"""Miniature of Shap-E. Its renderer is a small network whose weights the prior writes: the number
of embeddings is the number of rows of those weights, or nothing fits. Random weights have no
surface, so it renders and exports no mesh."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import HeunDiscreteScheduler, PriorTransformer, ShapEImg2ImgPipeline
from diffusers.pipelines.shap_e import ShapERenderer
from transformers import CLIPVisionConfig, CLIPVisionModel

from tests.support.miniatures import parts

_ROWS = ((8, 93), (8, 8), (8, 8), (8, 8))


def shap_e_from_picture(folder: Path) -> Path:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    prior = PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        embedding_dim=16,
        num_embeddings=sum(rows for rows, _ in _ROWS),
        embedding_proj_dim=16,
        time_embed_dim=64,
        clip_embed_dim=32,
        additional_embeddings=0,
        time_embed_act_fn="gelu",
        norm_in_type="layer",
        embedding_proj_norm_type="layer",
        encoder_hid_proj_type=None,
        added_emb_type=None,
    )
    renderer = ShapERenderer(param_shapes=_ROWS, d_latent=16, d_hidden=8, n_output=12)
    pipeline = ShapEImg2ImgPipeline(
        prior=parts.lively(prior),
        image_encoder=CLIPVisionModel(vision).eval(),
        image_processor=parts.clip_pictures(32),
        shap_e_renderer=renderer.eval(),
        scheduler=HeunDiscreteScheduler(
            beta_schedule="exp",
            num_train_timesteps=1024,
            prediction_type="sample",
            use_karras_sigmas=True,
            clip_sample=True,
        ),
    )
    return parts.save(pipeline, folder)
