"""Keep in float32 an autoencoder whose numbers overflow at float16."""

from __future__ import annotations

from typing import Any

import torch


def keep_autoencoder_in_float32(pipeline: Any) -> None:
    """Cast the VAE of ``pipeline`` to float32 for good, if its pipelines would for every decode.

    SDXL's VAE overflows at float16 (``force_upcast`` in its configuration): the picture is NaN.
    Its pipelines cast the VAE to float32 before they encode or decode, and back afterwards. The VAE
    is shared here, so one request would change it under another's hands, and previews decode at
    any step. Callers cast what they encode and decode to ``pipeline.vae.dtype``.
    """
    vae = getattr(pipeline, "vae", None)
    # Others, as those of Stable Diffusion 1.5, ignore the setting, which is on by default.
    if vae is None or vae.dtype != torch.float16 or not hasattr(pipeline, "upcast_vae"):
        return
    if vae.config.force_upcast:
        vae.to(torch.float32)
        vae.register_to_config(force_upcast=False)
