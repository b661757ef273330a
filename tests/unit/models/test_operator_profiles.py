"""An operator's folder adds styles, checkpoints and profiles without a change of the package."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from models.profiles.load import Capability, Profile, load_profile, profile_names
from models.profiles.operator_files import OPERATORS_LICENCE, InvalidProfileFile
from models.profiles.select import select_profile
from models.weights.hub import required_models
from models.weights.load import load_model
from models.weights.single_file import UnsuitableCheckpoint
from models.weights.verify import verify_files
from tests.support.checkpoint_file import save_unet

STYLE = Path("models/tiny/pack/styles/noir.safetensors").resolve()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATELIER_PROFILES_DIR", str(tmp_path))
    return tmp_path


def tiny_with(folder: Path, line: str) -> Profile:
    (folder / "tiny.yaml").write_text(f"models:\n  {line}\n")
    return load_profile("tiny")


def other_unet(folder: Path) -> Path:
    """A checkpoint of one file with weights that are not those of the pack."""
    source = "models/tiny/pack/text_to_image/unet"
    unet = UNet2DConditionModel.from_pretrained(source, use_safetensors=True)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.25)
    return save_unet(unet, folder / "mine.safetensors")


def test_a_style_is_one_line(folder: Path) -> None:
    profile = tiny_with(folder, f"mine: {{path: {STYLE}, adapter_of: atelier-tiny}}")
    assert set(profile.loras("atelier-tiny")) == {"mine", "noir"}
    style = profile.models["mine"]
    assert (style.licence, style.weight_name) == (OPERATORS_LICENCE, STYLE.name)
    assert style.memory.weights_mb == -(-STYLE.stat().st_size // 2**20)
    assert verify_files(style) == []


def test_a_checkpoint_is_one_line_and_its_weights_are_drawn_with(folder: Path) -> None:
    file = other_unet(folder)
    profile = tiny_with(folder, f"atelier-tiny: {{single_file: {file}}}")
    model = profile.model(Capability.TEXT_TO_IMAGE)
    assert verify_files(model) == []
    pipeline = load_model(model)
    shipped = load_model(load_profile_without_folder().model(Capability.TEXT_TO_IMAGE))
    for name, tensor in pipeline.unet.state_dict().items():
        assert torch.equal(tensor, shipped.unet.state_dict()[name] + 0.25), name
    # What the file does not hold is the source's.
    for name, tensor in pipeline.text_encoder.state_dict().items():
        assert torch.equal(tensor, shipped.text_encoder.state_dict()[name]), name


def load_profile_without_folder() -> Profile:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ATELIER_PROFILES_DIR")
        return load_profile("tiny")


def test_a_checkpoint_of_another_architecture_is_named(folder: Path) -> None:
    file = folder / "other.safetensors"
    weights = load_file(other_unet(folder))
    weights["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(7, 9, 3, 3)
    save_file(weights, file)
    profile = tiny_with(folder, f"atelier-tiny: {{single_file: {file}}}")
    with pytest.raises(UnsuitableCheckpoint, match=r"other\.safetensors does not fit Stable"):
        load_model(profile.model(Capability.TEXT_TO_IMAGE))


def test_a_pickle_is_never_read(folder: Path) -> None:
    file = folder / "mine.ckpt"
    torch.save({"weights": torch.zeros(1)}, file)
    model = tiny_with(folder, f"atelier-tiny: {{single_file: {file}}}").models["atelier-tiny"]
    with pytest.raises(UnsuitableCheckpoint, match="pickles are not loaded"):
        load_model(model)
    assert "pickles are not loaded" in verify_files(model)[0].reason


def test_a_file_that_is_not_there_is_missing(folder: Path) -> None:
    profile = tiny_with(folder, "atelier-tiny: {single_file: /nowhere/mine.safetensors}")
    (need,) = [need for need in required_models(profile) if need.key == "atelier-tiny"]
    assert not need.present
    assert [problem.reason for problem in verify_files(need.model)] == ["is missing"]
    with pytest.raises(FileNotFoundError, match=r"/nowhere/mine\.safetensors"):
        load_model(need.model)


def test_a_profile_of_ones_own_extends_a_shipped_one(folder: Path) -> None:
    (folder / "studio.yaml").write_text(
        "extends: tiny\ntitle: Our studio\ncapabilities: {text_to_image: {steps: 7}}\n"
    )
    assert "studio" in profile_names()
    studio, tiny = load_profile("studio"), load_profile("tiny")
    assert (studio.name, studio.title) == ("studio", "Our studio")
    assert studio.capability_config(Capability.TEXT_TO_IMAGE).steps == 7
    assert studio.models == tiny.models
    assert select_profile({"ATELIER_PROFILE": "studio"}, None) == "studio"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("models: {mine: {path: a.safetensors, adaptor_of: atelier-tiny}}", "models.mine.adaptor"),
        ("models: [", r"tiny\.yaml"),
        ("just words", "holds no mapping"),
        ("extends: huge", "'huge', which is no shipped profile"),
    ],
)
def test_a_wrong_file_is_named_with_the_place(folder: Path, content: str, message: str) -> None:
    (folder / "tiny.yaml").write_text(content)
    with pytest.raises(InvalidProfileFile, match=message):
        load_profile("tiny")


def test_a_folder_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_PROFILES_DIR", "/nowhere")
    with pytest.raises(InvalidProfileFile, match="'/nowhere', which is no folder"):
        load_profile("tiny")
