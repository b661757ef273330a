"""Every architecture the production profiles name, as a random-weight miniature: it is read
through ``models.weights.load.load_model`` as the real one would be, held under every memory plan
this machine has, and run.

Random weights show that classes, parts, plans and arguments fit together, not that a picture is
good. Model offload needs a GPU: ``tests/gpu``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, VitsModel

from models.diffusion.video.pipeline import ImageToVideo
from models.diffusion.video.requests import VideoRequest
from models.memory.plans import MemoryPlan, apply_plan, available_plans
from models.profiles.load import BUILT_IN_LOADERS, CapabilityConfig, load_profile, profile_names
from models.weights.load import load_model
from models.weights.quantize import Quantization
from tests.support.miniatures import films, flows, meshes, parts, pictures, readers
from tests.support.miniatures.profile import entry

SIZE = {"width": 64, "height": 64}
Output = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Miniature:
    """``build`` saves it, ``read`` loads it, ``run`` gives numbers of ``shape``."""

    loader: str
    build: Callable[[Path], Path]
    run: Callable[[Any], Output]
    shape: tuple[int, ...]
    read: Callable[[str, Path], Any] = lambda loader, path: load_model(entry(loader, path))


def picture() -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((64, 64), Image.Resampling.NEAREST)


def mask() -> Image.Image:
    half = np.zeros((64, 64), dtype=np.uint8)
    half[:, 32:] = 255
    return Image.fromarray(half)


def drawn(**more: Any) -> Callable[[Any], Output]:
    def run(pipeline: Any) -> Output:
        arguments = {"prompt": "a red cat", "num_inference_steps": 2, **more}
        generator = torch.Generator().manual_seed(0)
        return pipeline(**arguments, generator=generator, output_type="np")[0]

    return run


def as_kind(kind: str, **more: Any) -> Callable[[Any], Output]:
    """Run by another class over the same parts, as the capabilities do."""
    return lambda pipeline: drawn(**more)(getattr(diffusers, kind)(**_parts(pipeline)))


def _parts(pipeline: Any) -> dict[str, Any]:
    known = dict(pipeline.components)
    return known | ({"requires_safety_checker": False} if "safety_checker" in known else {})


def with_controlnet(
    base: Callable[[Path], Path], net: Callable[[Path], Path], loader: str, kind: str
) -> tuple[Callable[[Path], Path], Callable[[str, Path], Any]]:
    def build(folder: Path) -> Path:
        base(folder / "base")
        net(folder / "net")
        return folder

    def read(base_loader: str, folder: Path) -> Any:
        controlnet = load_model(entry(loader, folder / "net"))
        pipeline = load_model(entry(base_loader, folder / "base"))
        return getattr(diffusers, kind)(**_parts(pipeline), controlnet=controlnet)

    return build, read


def with_ip_adapter(xl: bool) -> dict[str, Any]:
    base = pictures.stable_diffusion_xl if xl else pictures.stable_diffusion

    def build(folder: Path) -> Path:
        base(folder / "base")
        return pictures.ip_adapter(folder, xl=xl)

    def read(loader: str, folder: Path) -> Any:
        encoder = load_model(entry(loader, folder, subfolder="models/image_encoder"))
        kind = "StableDiffusionXLPipeline" if xl else "StableDiffusionPipeline"
        pipeline = load_model(entry(kind, folder / "base"), image_encoder=encoder)
        pipeline.load_ip_adapter(
            str(folder),
            subfolder="models",
            weight_name="ip-adapter.safetensors",
            image_encoder_folder=None,
        )
        return pipeline

    return {"build": build, "read": read, "run": drawn(ip_adapter_image=picture(), **SIZE)}


def with_motion() -> dict[str, Any]:
    def build(folder: Path) -> Path:
        pictures.stable_diffusion(folder / "base")
        films.motion_adapter(folder / "motion")
        return folder

    def read(loader: str, folder: Path) -> Any:
        motion = load_model(entry(loader, folder / "motion"))
        return load_model(entry("AnimateDiffPipeline", folder / "base"), motion_adapter=motion)

    return {"build": build, "read": read, "run": drawn(num_frames=4, **SIZE)}


def filmed(image: Image.Image | None, frames: int) -> Callable[[Any], Output]:
    """By the interface itself: what it does around the pipelines is part of their running."""
    use = CapabilityConfig(
        model="m", **SIZE, min_size=64, max_size=64, steps=2, guidance=3.0, frames=frames, fps=8
    )

    def run(pipeline: Any) -> Output:
        made = ImageToVideo(pipeline, "m", use).generate(VideoRequest(image, "a red cat", 0))
        return np.stack([np.asarray(frame) for frame in made]) / np.float32(255)

    return run


def rendered(pipeline: Any) -> Output:
    """All twenty views, with few samples a ray: Shap-E's own number takes a quarter of a minute."""
    latents = pipeline(
        picture(),
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
    ).images
    with torch.no_grad():
        views = pipeline.shap_e_renderer.decode_to_image(
            latents[0][None], torch.device("cpu"), size=32, n_coarse_samples=2, n_fine_samples=2
        )
    return views.numpy()


def seen(wanted: str, side: int) -> Callable[[Any], Output]:
    """Random numbers as a picture, in; one output of a transformers model, out."""

    def run(model: Any) -> Output:
        pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            return model(pixel_values=pixels)[wanted].numpy()

    return run


def read_writer(loader: str, folder: Path) -> Any:
    model = load_model(entry(loader, folder))
    model.tokenizer = AutoTokenizer.from_pretrained(folder)
    return model


def predicted(model: Any) -> Output:
    turns = [{"role": "user", "content": "A story of a cat"}]
    tokens = model.tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        return model(**tokens).logits[:, -1].numpy()


def spoken(model: VitsModel) -> Output:
    torch.manual_seed(0)  # its durations are drawn from the global generator
    with torch.no_grad():
        wave = model(input_ids=torch.tensor([[1, 5, 9, 2]])).waveform
    return wave.numpy()[:, :256]


ONE, FIVE = (1, 64, 64, 3), (5, 64, 64, 3)
SD_CONTROL = with_controlnet(
    pictures.stable_diffusion,
    pictures.controlnet,
    "ControlNetModel",
    "StableDiffusionControlNetPipeline",
)
XL_CONTROL = with_controlnet(
    pictures.stable_diffusion_xl,
    pictures.controlnet_xl,
    "ControlNetModel",
    "StableDiffusionXLControlNetPipeline",
)
QWEN_CONTROL = with_controlnet(
    flows.qwen_image,
    flows.qwen_image_controlnet,
    "QwenImageControlNetModel",
    "QwenImageControlNetPipeline",
)
EDIT = {"image": picture(), "strength": 1.0}
FILL = {"image": picture(), "mask_image": mask(), **SIZE}
SD, XL = "StableDiffusionPipeline", "StableDiffusionXLPipeline"

MINIATURES = {
    "sd": Miniature(SD, pictures.stable_diffusion, drawn(**SIZE), ONE),
    "sd img2img": Miniature(
        SD, pictures.stable_diffusion, as_kind("StableDiffusionImg2ImgPipeline", **EDIT), ONE
    ),
    "sd inpaint": Miniature(
        SD, pictures.stable_diffusion, as_kind("StableDiffusionInpaintPipeline", **FILL), ONE
    ),
    "sd inpaint, 9 channels": Miniature(
        "StableDiffusionInpaintPipeline",
        lambda folder: pictures.stable_diffusion(folder, 9),
        drawn(**FILL),
        ONE,
    ),
    "sd controlnet": Miniature(
        SD, SD_CONTROL[0], drawn(image=picture(), **SIZE), ONE, SD_CONTROL[1]
    ),
    "sd ip-adapter": Miniature(
        "CLIPVisionModelWithProjection", shape=ONE, **with_ip_adapter(xl=False)
    ),
    "sdxl": Miniature(XL, pictures.stable_diffusion_xl, drawn(**SIZE), ONE),
    "sdxl img2img": Miniature(
        XL, pictures.stable_diffusion_xl, as_kind("StableDiffusionXLImg2ImgPipeline", **EDIT), ONE
    ),
    "sdxl inpaint": Miniature(
        "StableDiffusionXLInpaintPipeline", pictures.stable_diffusion_xl_inpaint, drawn(**FILL), ONE
    ),
    "sdxl controlnet": Miniature(
        XL, XL_CONTROL[0], drawn(image=picture(), **SIZE), ONE, XL_CONTROL[1]
    ),
    "sdxl ip-adapter": Miniature(
        "CLIPVisionModelWithProjection", shape=ONE, **with_ip_adapter(xl=True)
    ),
    "flux": Miniature("FluxPipeline", flows.flux, drawn(guidance_scale=0.0, **SIZE), ONE),
    "flux2 klein": Miniature("Flux2KleinPipeline", flows.flux2_klein, drawn(**SIZE), ONE),
    "flux2 klein, references": Miniature(
        "Flux2KleinPipeline", flows.flux2_klein, drawn(image=[picture()] * 2, **SIZE), ONE
    ),
    "z-image": Miniature("ZImagePipeline", flows.z_image, drawn(**SIZE), ONE),
    "qwen-image": Miniature(
        "QwenImagePipeline", flows.qwen_image, drawn(negative_prompt=" ", **SIZE), ONE
    ),
    "qwen-image controlnet": Miniature(
        "QwenImagePipeline", QWEN_CONTROL[0], drawn(control_image=picture(), **SIZE), ONE,
        QWEN_CONTROL[1],
    ),
    "qwen-image edit": Miniature(
        "QwenImageEditPlusPipeline", flows.qwen_image_edit,
        drawn(image=[picture()], negative_prompt=" ", **SIZE), ONE,
    ),
    "animatediff": Miniature("MotionAdapter", shape=(1, 4, 64, 64, 3), **with_motion()),
    "svd": Miniature(
        "StableVideoDiffusionPipeline", films.stable_video_diffusion,
        lambda pipeline: pipeline(picture(), num_frames=2, num_inference_steps=2, output_type="np",
                                  generator=torch.Generator().manual_seed(0), **SIZE).frames,
        (1, 2, 64, 64, 3),
    ),
    "wan, two stages": Miniature(
        "WanImageToVideoPipeline", films.wan_in_two_stages,
        filmed(picture(), 5), FIVE,
    ),
    "wan, either": Miniature(
        "WanImageToVideoPipeline", films.wan_from_either,
        filmed(None, 5), FIVE,
    ),
    "wan, text": Miniature("WanPipeline", films.wan_from_text, filmed(None, 5), FIVE),
    "ltx": Miniature(
        "LTXImageToVideoPipeline", films.ltx, drawn(image=picture(), num_frames=9, **SIZE),
        (1, 9, 64, 64, 3),
    ),
    "shap-e": Miniature(
        "ShapEImg2ImgPipeline", meshes.shap_e_from_picture, rendered, (20, 32, 32, 3)
    ),
    "segformer": Miniature(
        "SegformerForSemanticSegmentation", readers.segformer, seen("logits", 64), (1, 18, 16, 16)
    ),
    "depth anything": Miniature(
        "DepthAnythingForDepthEstimation", readers.depth_anything, seen("predicted_depth", 70),
        (1, 70, 70),
    ),
    "glpn": Miniature(
        "GLPNForDepthEstimation", readers.glpn, seen("predicted_depth", 64), (1, 64, 64)
    ),
    "writer": Miniature(
        "Qwen3ForCausalLM", readers.qwen_writer, predicted, (1, len(parts.qwen_tokenizer())),
        read_writer,
    ),
    "speaker": Miniature("VitsModel", readers.vits, spoken, (1, 256)),
}  # fmt: skip
# Read within another's miniature; LoRAs in tests/pipelines/test_views.py, what replaces a component
# in tests/pipelines/test_distilled.py. Those that are always held whole have tests of their own in
# tests/unit/models: test_grounded_sam.py and test_upscale.py.
ADAPTERS = {
    "ControlNetModel", "QwenImageControlNetModel", "lora", "AutoencoderKL", "WanTransformer3DModel",
    "GroundingDinoForObjectDetection", "Sam2Model", "Swin2SRForImageSuperResolution",
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folders: dict[str, Path] = {}

    def folder_of(name: str) -> Path:
        if name not in folders:
            folders[name] = MINIATURES[name].build(tmp_path_factory.mktemp("miniature"))
        return folders[name]

    return folder_of


@pytest.fixture(autouse=True)
def small_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen-Image-Edit brings every reference to a megapixel: minutes on a CPU."""
    module = diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus
    monkeypatch.setattr(module, "VAE_IMAGE_SIZE", 64 * 64)
    monkeypatch.setattr(module, "CONDITION_IMAGE_SIZE", 64 * 64)


def output(name: str, folder: Path, plan: MemoryPlan, quantization: Quantization) -> Output:
    miniature = MINIATURES[name]
    loaded = miniature.read(miniature.loader, folder)
    if hasattr(loaded, "set_progress_bar_config"):
        loaded.set_progress_bar_config(disable=True)
    apply_plan(loaded, plan, "cpu", quantization)
    return miniature.run(loaded)


# Without quantization a plan may change nothing but the order of sums.
EXACT = [
    (plan, "none") for plan in available_plans("cpu", "none") if plan is not MemoryPlan.RESIDENT
]
# Eight bits change the numbers a little; how much a random network makes of it is its own affair.
ROUGH = [(MemoryPlan.QUANTIZED, "int8")]


@pytest.mark.parametrize("name", MINIATURES)
def test_it_loads_fits_every_plan_and_runs(saved: Callable[[str], Path], name: str) -> None:
    folder = saved(name)
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert not [file.name for file in files if file.suffix in {".bin", ".pt", ".ckpt", ".pkl"}]
    assert sum(file.stat().st_size for file in files) < 16e6
    resident = output(name, folder, MemoryPlan.RESIDENT, "none")
    assert resident.shape == MINIATURES[name].shape
    assert np.isfinite(resident).all()
    assert resident.std() > 0
    for plan, quantization in EXACT + ROUGH:
        other = output(name, folder, plan, quantization)
        assert other.shape == resident.shape, plan
        error = np.abs(other - resident).mean() / resident.std()
        assert error < (0.005 if (plan, quantization) in EXACT else 0.3), (plan, error)


def test_no_class_of_any_profile_is_without_a_miniature() -> None:
    """ONNX files have theirs in ``tests/unit/models/test_face_embedding.py``."""
    covered = {miniature.loader for miniature in MINIATURES.values()} | ADAPTERS
    named = {
        model.loader: f"{name}: {key}"
        for name in profile_names()
        for key, model in load_profile(name).models.items()
        if not model.is_built_in and not model.is_onnx
    }
    missing = {where: loader for loader, where in named.items() if loader not in covered}
    assert not missing
    assert not covered & set(BUILT_IN_LOADERS)
