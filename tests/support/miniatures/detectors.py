"""Miniatures of the models that find and outline things: Grounding DINO and SAM 2."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    Sam2HieraDetConfig,
    Sam2MaskDecoderConfig,
    Sam2PromptEncoderConfig,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam2VisionConfig,
    SwinConfig,
)

from tests.support.miniatures import parts

WIDTH = 32
# Places in BERT's vocabulary; Grounding DINO's code counts on those of the stops.
_BERT = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
_WORDS = (
    "bag", "hat", "hand", "face", "hair", "shoe", "shirt", "sweater", "jacket", "coat",
    "trousers", "shorts", "skirt", "dress", "arm", "leg", "person",
)  # fmt: skip


def bert_tokenizer() -> BertTokenizer:
    size = 1030 + len(_WORDS)
    vocab = {f"[unused{index}]": index for index in range(size)}
    for word, index in _BERT.items():
        del vocab[f"[unused{index}]"]
        vocab[word] = index
    for index, word in enumerate(_WORDS, start=1030):
        del vocab[f"[unused{index}]"]
        vocab[word] = index
    return BertTokenizer(vocab=vocab)


def grounding_dino(folder: Path) -> Path:
    tokenizer = bert_tokenizer()
    torch.manual_seed(0)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 2, 2, 4],
            image_size=64,
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=37,
            max_position_embeddings=64,
        ),
        d_model=2 * WIDTH,  # its 32 groups of channels must hold more than one number
        num_queries=20,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=WIDTH,
        decoder_ffn_dim=WIDTH,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
    )
    tokenizer.save_pretrained(folder)
    GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(
        folder
    )
    return parts.save(GroundingDinoForObjectDetection(config).eval(), folder)


def sam2(folder: Path) -> Path:
    """Saved as the film model, which the hub's repositories hold; pictures are read from it."""
    torch.manual_seed(0)
    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[64, 64],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 24, 32],
        num_attention_heads_per_stage=[1, 1, 1, 1],
        window_size_per_stage=[8, 4, 8, 4],
        global_attention_blocks=[3],
    )
    config = Sam2VideoConfig(
        vision_config=Sam2VisionConfig(
            backbone_config=backbone,
            backbone_channel_list=[32, 24, 16, 8],
            backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
            fpn_hidden_size=WIDTH,
        ),
        prompt_encoder_config=Sam2PromptEncoderConfig(hidden_size=WIDTH, image_size=64),
        mask_decoder_config=Sam2MaskDecoderConfig(
            hidden_size=WIDTH, mlp_dim=WIDTH, num_attention_heads=4, iou_head_hidden_dim=WIDTH
        ),
        memory_attention_hidden_size=WIDTH,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=WIDTH,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=WIDTH,
        memory_encoder_output_channels=16,
        mask_downsampler_embed_dim=WIDTH,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_intermediate_dim=WIDTH,
    )
    return parts.save(Sam2VideoModel(config).eval(), folder)
