"""Keep what lies outside a mask while an editing model without a mask draws.

After every step the latents outside the mask are replaced by the picture's own, at the noise of the
next step: blended diffusion (Avrahami et al. 2022, arXiv:2111.14818), as diffusers' inpainting
pipelines do it. So the new part is drawn to fit its surroundings, and does not shift against them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from PIL.Image import Image, Resampling


class MaskBlending:
    """Blends the packed latents of one picture; made anew for each, it keeps the picture's."""

    def __init__(self, image: Image, mask: Image, generator: torch.Generator) -> None:
        """``image`` is RGB; ``mask`` is 8-bit gray, white where to draw; both at the drawn size."""
        self._image, self._mask, self._generator = image, mask, generator
        self._kept: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def __call__(self, pipeline: Any, step: int, latents: torch.Tensor) -> torch.Tensor:
        """Return ``latents`` after ``step`` (from 0), blended: (1, patches, channels) as before."""
        if self._kept is None:
            self._kept = self._encode(pipeline, latents)
        known, noise, inside = self._kept
        sigma = pipeline.scheduler.sigmas[step + 1].to(latents)
        outside = (1 - sigma) * known + sigma * noise
        return inside * latents + (1 - inside) * outside

    def _encode(
        self, pipeline: Any, latents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The picture's latents, the noise to add to them, and the mask of patches, 0 or 1."""
        side = 2 * pipeline.vae_scale_factor  # of a patch, in pixels
        columns, rows = self._image.width // side, self._image.height // side
        pixels = pipeline.image_processor.preprocess(
            self._image, height=rows * side, width=columns * side
        )
        pixels = pixels.unsqueeze(2).to(latents.device, pipeline.vae.dtype)
        encoded = pipeline._encode_vae_image(pixels, self._generator)
        known = pipeline._pack_latents(
            encoded.transpose(1, 2), 1, encoded.shape[1], 2 * rows, 2 * columns
        )
        # A patch is drawn if the mask touches it: the borders are pasted at full resolution.
        touched = self._mask.resize((columns, rows), Resampling.BOX)
        inside = torch.from_numpy(np.asarray(touched, np.float32) > 0).reshape(1, -1, 1)
        noise = randn_tensor(
            known.shape, self._generator, device=latents.device, dtype=latents.dtype
        )
        return known.to(latents), noise, inside.to(latents)
