"""Video model families: their pipeline arguments, frame counts and sizes.

Each family is a class over a loaded diffusers pipeline; it reads its limits from the pipeline's
config.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from PIL.Image import Image

from models.profiles.load import Capability, Model, Profile
from models.weights.load import load_model


class UnknownVideoFamily(ValueError):
    """The profile's image_to_video names a pipeline that no family supports."""


@dataclass(frozen=True)
class VideoParams:
    """The parameters of one video, with all defaults filled in.

    ``image`` is RGB, ``width`` x ``height`` pixels; ``motion`` and ``strength`` are 0..1.
    """

    image: Image | None
    prompt: str
    negative_prompt: str
    width: int
    height: int
    frames: int
    fps: int
    steps: int
    guidance: float
    motion: float
    strength: float


class VideoFamily:
    """The limits and arguments of one family; frame counts are ``frame_step`` * k + 1, k from 1."""

    name: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]  # the diffusers pipelines whose weights it runs
    has_motion: ClassVar[bool] = False
    takes_prompt: ClassVar[bool] = True
    size_multiple: int = 8
    frame_step: int = 1
    max_frames: int
    needs_image: bool = False
    takes_image: bool = True

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    def pipeline_class(self, with_image: bool) -> Any:
        """Return the diffusers class for a video with, or without, a first picture."""
        return type(self.pipeline)

    def arguments(self, pipeline: Any, params: VideoParams) -> dict[str, Any]:
        """Return the call arguments of ``pipeline``, except steps, generator and callback."""
        raise NotImplementedError


class AnimateDiff(VideoFamily):
    """A motion adapter in a Stable Diffusion 1.5 UNet (https://arxiv.org/abs/2307.04725).

    A picture is repeated over the frames, noised to ``strength`` and denoised as a video. If the
    pipeline has an IP-Adapter, the picture is an image prompt of every frame as well.
    """

    name = "AnimateDiff"
    classes = ("AnimateDiffPipeline", "AnimateDiffVideoToVideoPipeline")

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.max_frames = int(pipeline.motion_adapter.config.motion_max_seq_length)
        self.needs_image = pipeline.image_encoder is not None

    def pipeline_class(self, with_image: bool) -> Any:
        import diffusers

        return (
            diffusers.AnimateDiffVideoToVideoPipeline
            if with_image
            else diffusers.AnimateDiffPipeline
        )

    def arguments(self, pipeline: Any, params: VideoParams) -> dict[str, Any]:
        common = {
            "prompt": params.prompt,
            "negative_prompt": params.negative_prompt or None,
            "width": params.width,
            "height": params.height,
            "guidance_scale": params.guidance,
        }
        if params.image is None:
            return {**common, "num_frames": params.frames}
        adapter = {"ip_adapter_image": params.image} if self.needs_image else {}
        return {
            **common,
            **adapter,
            "video": [params.image] * params.frames,
            "strength": params.strength,
            "enforce_inference_steps": True,  # else only steps * strength of them are run
        }


class StableVideoDiffusion(VideoFamily):
    """SVD and SVD-XT: video from a picture, without text (https://arxiv.org/abs/2311.15127)."""

    name = "Stable Video Diffusion"
    classes = ("StableVideoDiffusionPipeline",)
    has_motion = True
    takes_prompt = False
    needs_image = True

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        # This UNet does not round sizes on its way up again, so each level must halve evenly.
        levels = len(pipeline.unet.config.block_out_channels)
        self.size_multiple = pipeline.vae_scale_factor * 2 ** (levels - 1)
        self.max_frames = int(pipeline.unet.config.num_frames)

    def arguments(self, pipeline: Any, params: VideoParams) -> dict[str, Any]:
        return {
            "image": params.image,
            "width": params.width,
            "height": params.height,
            "num_frames": params.frames,
            "fps": params.fps,
            "motion_bucket_id": 1 + round(params.motion * 253),  # 1 to 254, 127 as in the paper
            "min_guidance_scale": min(1.0, params.guidance),
            "max_guidance_scale": params.guidance,
            "decode_chunk_size": 4,  # all at once would triple the peak
        }


class Wan(VideoFamily):
    """Wan 2.1 and 2.2 (https://arxiv.org/abs/2503.20314): video from a picture, from text, or both.

    The I2V weights need a picture, the T2V weights take none, the 2.2 TI2V weights do either.
    """

    name = "Wan"
    classes = ("WanImageToVideoPipeline", "WanPipeline")
    max_frames = 121  # what the longest of them was trained on

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        denoiser = (
            pipeline.transformer if pipeline.transformer is not None else pipeline.transformer_2
        )
        self.frame_step = pipeline.vae_scale_factor_temporal
        self.size_multiple = max(
            16, pipeline.vae_scale_factor_spatial * denoiser.config.patch_size[1]
        )
        # A 2.2 pipeline that expands timesteps has the picture in its first latent frame; the
        # older ones have it in extra input channels, which are there or not.
        takes_both = bool(pipeline.config.expand_timesteps)
        has_image_channels = denoiser.config.in_channels > pipeline.vae.config.z_dim
        self.needs_image = has_image_channels and not takes_both
        self.takes_image = has_image_channels or takes_both

    def pipeline_class(self, with_image: bool) -> Any:
        import diffusers

        return diffusers.WanImageToVideoPipeline if with_image else diffusers.WanPipeline

    def arguments(self, pipeline: Any, params: VideoParams) -> dict[str, Any]:
        positive, negative = self._embeddings(params, pipeline)
        return {
            "prompt_embeds": positive,
            "negative_prompt_embeds": negative,
            "width": params.width,
            "height": params.height,
            "num_frames": params.frames,
            "guidance_scale": params.guidance,
            **({"image": params.image} if params.image is not None else {}),
        }

    def _embeddings(self, params: VideoParams, pipeline: Any) -> tuple[Any, Any]:
        # WanImageToVideoPipeline cleans prompts with ftfy without asking whether it is installed;
        # WanPipeline checks. Both encode alike, so WanPipeline encodes the text.
        import diffusers

        encoder = diffusers.WanPipeline(
            tokenizer=pipeline.tokenizer,
            text_encoder=pipeline.text_encoder,
            vae=pipeline.vae,
            scheduler=pipeline.scheduler,
        )
        with torch.no_grad():
            return encoder.encode_prompt(
                params.prompt,
                params.negative_prompt,
                do_classifier_free_guidance=params.guidance > 1,
                max_sequence_length=512,
                device=pipeline._execution_device,
            )


class LTXVideo(VideoFamily):
    """LTX-Video (https://arxiv.org/abs/2501.00103): video from a picture, from text, or both."""

    name = "LTX-Video"
    classes = ("LTXImageToVideoPipeline", "LTXPipeline")
    max_frames = 257  # as its authors advise

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.frame_step = pipeline.vae_temporal_compression_ratio
        self.size_multiple = max(32, pipeline.vae_spatial_compression_ratio)

    def pipeline_class(self, with_image: bool) -> Any:
        import diffusers

        return diffusers.LTXImageToVideoPipeline if with_image else diffusers.LTXPipeline

    def arguments(self, pipeline: Any, params: VideoParams) -> dict[str, Any]:
        arguments = {
            "prompt": params.prompt,
            "negative_prompt": params.negative_prompt,
            "width": params.width,
            "height": params.height,
            "num_frames": params.frames,
            "frame_rate": params.fps,
            "guidance_scale": params.guidance,
            **({"image": params.image} if params.image is not None else {}),
        }
        if pipeline.vae.config.timestep_conditioning:
            # From 0.9.1 on the decoder takes the last denoising step; the values of the model card.
            arguments |= {"decode_timestep": 0.05, "decode_noise_scale": 0.025}
        return arguments


FAMILIES: tuple[type[VideoFamily], ...] = (AnimateDiff, StableVideoDiffusion, Wan, LTXVideo)


def video_family(pipeline: Any) -> VideoFamily:
    """Return the family of ``pipeline``.

    Raises:
        UnknownVideoFamily: no family supports it.
    """
    kind = type(pipeline).__name__
    for family in FAMILIES:
        if kind in family.classes:
            return family(pipeline)
    supported = ", ".join(name for family in FAMILIES for name in family.classes)
    raise UnknownVideoFamily(f"{kind} makes no films here; {supported} and MotionAdapter do")


def read_video_pipeline(profile: Profile) -> Any:
    """Load the video pipeline of ``profile``, on the CPU."""
    model = profile.model(Capability.IMAGE_TO_VIDEO)
    return load_model(model) if model.adapter_of is None else _with_motion_adapter(profile, model)


def _with_motion_adapter(profile: Profile, model: Model) -> Any:
    from diffusers import DDIMScheduler

    assert model.adapter_of is not None
    base = profile.models[model.adapter_of].model_copy(update={"loader": "AnimateDiffPipeline"})
    pipeline = load_model(base, motion_adapter=load_model(model))
    if pipeline.scheduler.config.prediction_type == "epsilon":
        # The published adapters were trained on SD 1.5 with this noise schedule instead of its own.
        pipeline.scheduler = DDIMScheduler.from_config(
            pipeline.scheduler.config,
            beta_schedule="linear",
            clip_sample=False,
            timestep_spacing="linspace",
            steps_offset=1,
        )
    return pipeline
