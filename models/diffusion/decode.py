"""Decode the latents of any step to a picture, for every family: the previews of a request.

Results are decoded by the pipelines themselves, inside their ``__call__``; diffusers has no other
entry to that code. A test holds that the preview of the last step is the result.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from PIL.Image import Image


def decode_latents(pipeline: Any, latents: torch.Tensor, width: int, height: int) -> Image:
    """Decode the ``latents`` of one picture, as a step's callback gets them, to RGB.

    They are (1, channels, height, width), or packed in patches of 2 x 2: (1, patches, channels).
    ``width`` and ``height`` are the picture's in pixels; of packed latents only their ratio counts,
    because some pipelines choose the size themselves.
    """
    vae = pipeline.vae
    with torch.no_grad():
        latents = latents.to(vae.dtype)
        if latents.ndim == 3:
            latents = _unpack(pipeline, latents, width / height)
        decoded = vae.decode(_denormalize(vae, latents), return_dict=False)[0]
    if decoded.ndim == 5:  # a film's autoencoder: (1, channels, frames, height, width)
        decoded = decoded[:, :, 0]
    picture: Image = pipeline.image_processor.postprocess(decoded, output_type="pil")[0]
    return picture


def _unpack(pipeline: Any, latents: torch.Tensor, ratio: float) -> torch.Tensor:
    """Lay packed latents out in rows and columns again, as the pipeline's own code does."""
    _, patches, channels = latents.shape
    rows, columns = _grid(patches, ratio)
    if hasattr(pipeline, "_unpatchify_latents"):  # FLUX.2: patches are normalized as channels
        laid_out = latents.transpose(1, 2).reshape(1, channels, rows, columns)
        normalized = pipeline.vae.bn
        mean, variance = normalized.running_mean, normalized.running_var
        scale = torch.sqrt(variance + pipeline.vae.config.batch_norm_eps).to(laid_out)
        laid_out = laid_out * scale.view(1, -1, 1, 1) + mean.to(laid_out).view(1, -1, 1, 1)
        return pipeline._unpatchify_latents(laid_out)
    side = 2 * pipeline.vae_scale_factor  # of a patch, in pixels
    return pipeline._unpack_latents(latents, rows * side, columns * side, pipeline.vae_scale_factor)


def _grid(patches: int, ratio: float) -> tuple[int, int]:
    """Return the rows and columns of ``patches`` whose shape is nearest to ``ratio``."""
    shapes = [(rows, patches // rows) for rows in range(1, patches + 1) if patches % rows == 0]
    return min(shapes, key=lambda shape: abs(math.log(shape[1] / shape[0] / ratio)))


def _denormalize(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Undo the scaling that the denoiser was trained with; a factor that is not configured is 1."""
    config = vae.config
    factor = getattr(config, "scaling_factor", None) or 1.0
    shift = getattr(config, "shift_factor", None) or 0.0
    mean, deviation = (getattr(config, f"latents_{name}", None) for name in ("mean", "std"))
    if mean is None or deviation is None:
        return latents / factor + shift
    shape = (1, -1, *[1] * (latents.ndim - 2))
    each_mean, each_deviation = (
        torch.tensor(values).view(shape).to(latents) for values in (mean, deviation)
    )
    return latents * each_deviation / factor + each_mean
