"""Step-distilled weights: LoRAs fused at load, replaced components, the steps of their training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from torch import nn

from models.diffusion.clone import clone_pipeline
from models.diffusion.requests import SchedulerNotSupported
from models.diffusion.schedulers import make_scheduler
from models.diffusion.video.pipeline import ImageToVideo
from models.diffusion.video.requests import VideoRequest
from models.profiles.load import CapabilityConfig, Model, Profile
from models.weights.distilled import DistilledFlowMatchScheduler
from models.weights.licenses import NonCommercialWeights
from models.weights.load import load_model
from tests.support.miniatures import films, flows, pictures

LAYER = "blocks.0.attn1.to_q"
MEMORY = {"components": {}, "activations": 0, "activations_sliced": 0}
FOUR_STEPS = (1.0, 0.9375, 0.8333, 0.625)


def write_lora(network: Any, file: Path, seed: int) -> torch.Tensor:
    """A LoRA of one layer in ``file``, and what it adds to that layer's weight."""
    torch.manual_seed(seed)
    network.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=[LAYER]))
    state = {
        key: torch.randn_like(value)
        for key, value in get_peft_model_state_dict(network, adapter_name="default").items()
    }
    network.delete_adapters("default")
    up = next(value for key, value in state.items() if "lora_B" in key)
    down = next(value for key, value in state.items() if "lora_A" in key)
    from diffusers import WanImageToVideoPipeline

    WanImageToVideoPipeline.save_lora_weights(
        file.parent, transformer_lora_layers=state, weight_name=file.name
    )
    return up @ down


def entry(**more: Any) -> dict[str, Any]:
    return {"licence": "none", "commercial": True, "memory": MEMORY, **more}


def weight_of(network: Any) -> torch.Tensor:
    layer = network.get_submodule(LAYER)
    assert type(layer) is nn.Linear, "no adapter is left"
    weight: torch.Tensor = layer.weight.detach().clone()
    return weight


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """Wan 2.2's two denoisers, a LoRA for each, and the weights that each must come to."""
    folder = films.wan_in_two_stages(tmp_path_factory.mktemp("wan"))
    plain = load_model(wan(folder).models["wan"])
    due = {
        part: weight_of(getattr(plain, part))
        + write_lora(getattr(plain, part), folder / f"{part}.safetensors", seed)
        for seed, part in enumerate(("transformer", "transformer_2"))
    }
    return folder, due


def wan(folder: Path, fused: tuple[str, ...] = (), **more: Any) -> Profile:
    base = entry(path=folder, loader="WanImageToVideoPipeline", **more)
    loras = {
        f"four-steps-{part}": entry(
            path=folder,
            loader="lora",
            weight_name=f"{part}.safetensors",
            adapter_of="wan",
            fused_into=part,
        )
        for part in fused
    }
    return Profile.model_validate(
        {
            "name": "own",
            "title": "",
            "device": "cpu",
            "models": {"wan": base, **loras},
            "capabilities": {
                "image_to_video": {
                    "model": "wan", "width": 32, "height": 32, "min_size": 32, "max_size": 32,
                    "steps": 3, "guidance": 1.0, "frames": 5, "fps": 8,
                }
            },
        }
    )  # fmt: skip


def test_each_lora_is_added_to_its_own_denoiser(
    two_stages: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    folder, due = two_stages
    loaded = load_model(wan(folder, ("transformer", "transformer_2")).models["wan"])
    for part, weight in due.items():
        torch.testing.assert_close(weight_of(getattr(loaded, part)), weight)


def test_the_other_denoiser_is_left_as_it_was(
    two_stages: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    folder, due = two_stages
    plain = load_model(wan(folder).models["wan"])
    loaded = load_model(wan(folder, ("transformer_2",)).models["wan"])
    torch.testing.assert_close(weight_of(loaded.transformer), weight_of(plain.transformer))
    torch.testing.assert_close(weight_of(loaded.transformer_2), due["transformer_2"])


def test_what_is_fused_needs_a_licence_too(
    two_stages: tuple[Path, dict[str, torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
    model = wan(two_stages[0], ("transformer",)).models["wan"]
    [lora] = model.loaded_with
    bound = model.model_copy(
        update={"loaded_with": (lora.model_copy(update={"commercial": False}),)}
    )
    with pytest.raises(NonCommercialWeights, match="four-steps-transformer"):
        load_model(bound)


def test_a_network_takes_the_place_of_a_component(tmp_path: Path) -> None:
    folder = pictures.stable_diffusion(tmp_path / "base")
    other = load_model(Model.model_validate(entry(path=folder, loader="StableDiffusionPipeline")))
    nn.init.constant_(other.vae.quant_conv.bias, 7.0)
    other.vae.save_pretrained(tmp_path / "better" / "vae")
    replacement = entry(
        path=tmp_path / "better",
        subfolder="vae",
        loader="AutoencoderKL",
        adapter_of="base",
        replaces="vae",
    )
    model = Model.model_validate(
        entry(path=folder, loader="StableDiffusionPipeline", loaded_with=[replacement])
    )
    assert load_model(model).vae.quant_conv.bias.unique().tolist() == [7.0]


def test_the_steps_are_those_of_the_training_whatever_the_pipeline_asks() -> None:
    scheduler = DistilledFlowMatchScheduler(trained_sigmas=FOUR_STEPS)
    scheduler.set_timesteps(4, device="cpu")
    assert scheduler.sigmas.tolist() == pytest.approx([*FOUR_STEPS, 0.0])
    assert scheduler.timesteps.tolist() == pytest.approx([1000 * sigma for sigma in FOUR_STEPS])
    scheduler.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25], mu=0.8, device="cpu")
    assert scheduler.sigmas.tolist() == pytest.approx([*FOUR_STEPS, 0.0])


@pytest.mark.parametrize("steps", [1, 2, 8])
def test_another_number_of_steps_lies_between_the_trained_ones(steps: int) -> None:
    scheduler = DistilledFlowMatchScheduler(trained_sigmas=FOUR_STEPS)
    scheduler.set_timesteps(steps, device="cpu")
    levels = scheduler.sigmas[:-1].tolist()
    assert len(levels) == steps and levels[0] == 1.0
    assert levels == sorted(levels, reverse=True) and levels[-1] >= FOUR_STEPS[-1] - 1e-6


def test_a_copy_for_a_request_keeps_the_trained_levels() -> None:
    own = DistilledFlowMatchScheduler(trained_sigmas=FOUR_STEPS, stochastic_sampling=True)
    copied = make_scheduler("default", own)
    assert tuple(copied.config.trained_sigmas) == FOUR_STEPS
    assert copied.config.stochastic_sampling


def test_distilled_weights_have_no_other_scheduler() -> None:
    with pytest.raises(SchedulerNotSupported, match="there are: default"):
        make_scheduler("flow_euler", DistilledFlowMatchScheduler(trained_sigmas=FOUR_STEPS))


def test_a_film_of_distilled_weights_is_the_same_for_its_seed(
    two_stages: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    profile = wan(
        two_stages[0],
        ("transformer", "transformer_2"),
        distilled={"sigmas": [1.0, 0.757, 0.522], "renoise": True},
    )
    film = ImageToVideo.read(profile)

    def frames(seed: int) -> list[bytes]:
        photo = Image.new("RGB", (32, 32), "teal")
        made = film.generate(VideoRequest(image=photo, prompt="a cat", seed=seed))
        return [frame.tobytes() for frame in made]

    first = frames(1)
    torch.manual_seed(99)
    assert frames(1) == first
    assert frames(2) != first


@pytest.mark.parametrize("make", [flows.qwen_image, flows.flux2_klein])
def test_a_picture_family_draws_with_the_trained_steps(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    loader = {"qwen_image": "QwenImagePipeline", "flux2_klein": "Flux2KleinPipeline"}
    model = Model.model_validate(
        entry(
            path=make(tmp_path),
            loader=loader[make.__name__],
            distilled={"sigmas": [1.0, 0.9, 0.75, 0.5]},
        )
    )
    pipeline = clone_pipeline(load_model(model))
    used = []
    pipeline(
        prompt="a cat", width=32, height=32, num_inference_steps=4, output_type="latent",
        callback_on_step_end=lambda pipe, _, time, kept: used.append(float(time)) or kept,
    )  # fmt: skip
    assert used == pytest.approx([1000, 900, 750, 500])


def test_a_fused_entry_must_be_a_lora_and_a_replacement_a_network() -> None:
    with pytest.raises(ValueError, match="only a LoRA"):
        Model.model_validate(
            entry(path="x", loader="AutoencoderKL", adapter_of="y", fused_into="transformer")
        )
    with pytest.raises(ValueError, match="is a network"):
        Model.model_validate(
            entry(path="x", loader="lora", adapter_of="y", weight_name="z", replaces="vae")
        )
    assert CapabilityConfig(model="x").steps is None
