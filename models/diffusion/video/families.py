"""What the families of film models differ in: arguments, frame counts, sizes.

One class a family, made over a loaded pipeline, whose config it reads its rules from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from PIL.Image import Image

from models.profiles.load import Capability, Model, Profile
from models.weights.load import load_model


class UnknownVideoFamily(ValueError):
    """The profile's image_to_video names a pipeline that no family here runs."""


@dataclass(frozen=True)
class VideoParams:
    """One film to make, every default filled in; ``image`` is RGB at ``width`` x ``height``."""

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
    """The rules of one family. Frame counts are ``frame_step`` * k + 1, k from 1."""

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
        """The diffusers class that makes a film with, or without, a first picture."""
        return type(self.pipeline)

    def arguments(self, pipeline: Any, film: VideoParams) -> dict[str, Any]:
        """What ``pipeline`` is called with, beyond steps, generator and callback."""
        raise NotImplementedError


class AnimateDiff(VideoFamily):
    """A motion adapter in a Stable Diffusion 1.5 UNet (https://arxiv.org/abs/2307.04725).

    A picture is repeated over the frames, noised to ``strength`` and denoised as a film; where the
    pipeline carries an IP-Adapter, the picture steers every frame through it as well.
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

    def arguments(self, pipeline: Any, film: VideoParams) -> dict[str, Any]:
        common = {
            "prompt": film.prompt,
            "negative_prompt": film.negative_prompt or None,
            "width": film.width,
            "height": film.height,
            "guidance_scale": film.guidance,
        }
        if film.image is None:
            return {**common, "num_frames": film.frames}
        adapter = {"ip_adapter_image": film.image} if self.needs_image else {}
        return {
            **common,
            **adapter,
            "video": [film.image] * film.frames,
            "strength": film.strength,
            "enforce_inference_steps": True,  # else only steps * strength of them are run
        }


class StableVideoDiffusion(VideoFamily):
    """SVD and SVD-XT: a picture, no text (https://arxiv.org/abs/2311.15127)."""

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

    def arguments(self, pipeline: Any, film: VideoParams) -> dict[str, Any]:
        return {
            "image": film.image,
            "width": film.width,
            "height": film.height,
            "num_frames": film.frames,
            "fps": film.fps,
            "motion_bucket_id": 1 + round(film.motion * 253),  # 1 to 254, 127 as in the paper
            "min_guidance_scale": min(1.0, film.guidance),
            "max_guidance_scale": film.guidance,
            "decode_chunk_size": 4,  # all at once would triple the peak
        }


class Wan(VideoFamily):
    """Wan 2.1 and 2.2 (https://arxiv.org/abs/2503.20314): from a picture, from text, or both.

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
        either = bool(pipeline.config.expand_timesteps)
        wider = denoiser.config.in_channels > pipeline.vae.config.z_dim
        self.needs_image = wider and not either
        self.takes_image = wider or either

    def pipeline_class(self, with_image: bool) -> Any:
        import diffusers

        return diffusers.WanImageToVideoPipeline if with_image else diffusers.WanPipeline

    def arguments(self, pipeline: Any, film: VideoParams) -> dict[str, Any]:
        positive, negative = self._embeddings(film, pipeline)
        return {
            "prompt_embeds": positive,
            "negative_prompt_embeds": negative,
            "width": film.width,
            "height": film.height,
            "num_frames": film.frames,
            "guidance_scale": film.guidance,
            **({"image": film.image} if film.image is not None else {}),
        }

    def _embeddings(self, film: VideoParams, pipeline: Any) -> tuple[Any, Any]:
        # WanImageToVideoPipeline cleans prompts with ftfy without asking whether it is installed;
        # WanPipeline asks. Both encode alike, so the text goes through the one that works.
        import diffusers

        encoder = diffusers.WanPipeline(
            tokenizer=pipeline.tokenizer,
            text_encoder=pipeline.text_encoder,
            vae=pipeline.vae,
            scheduler=pipeline.scheduler,
        )
        with torch.no_grad():
            return encoder.encode_prompt(
                film.prompt,
                film.negative_prompt,
                do_classifier_free_guidance=film.guidance > 1,
                max_sequence_length=512,
                device=pipeline._execution_device,
            )


class LTXVideo(VideoFamily):
    """LTX-Video (https://arxiv.org/abs/2501.00103): from a picture, from text, or both."""

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

    def arguments(self, pipeline: Any, film: VideoParams) -> dict[str, Any]:
        arguments = {
            "prompt": film.prompt,
            "negative_prompt": film.negative_prompt,
            "width": film.width,
            "height": film.height,
            "num_frames": film.frames,
            "frame_rate": film.fps,
            "guidance_scale": film.guidance,
            **({"image": film.image} if film.image is not None else {}),
        }
        if pipeline.vae.config.timestep_conditioning:
            # From 0.9.1 on the decoder takes the last denoising step; the values of the model card.
            arguments |= {"decode_timestep": 0.05, "decode_noise_scale": 0.025}
        return arguments


FAMILIES: tuple[type[VideoFamily], ...] = (AnimateDiff, StableVideoDiffusion, Wan, LTXVideo)


def video_family(pipeline: Any) -> VideoFamily:
    """The family that runs ``pipeline``.

    Raises:
        UnknownVideoFamily: none does.
    """
    kind = type(pipeline).__name__
    for family in FAMILIES:
        if kind in family.classes:
            return family(pipeline)
    known = ", ".join(name for family in FAMILIES for name in family.classes)
    raise UnknownVideoFamily(f"{kind} makes no films here; {known} and MotionAdapter do")


def read_video_pipeline(profile: Profile) -> Any:
    """The film pipeline of ``profile``, on the CPU."""
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
