"""What runs on a GPU: skipped without one.

``ATELIER_GPU_TESTS_DEVICE=cpu`` rehearses the same code on a CPU, with miniatures throughout.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def device() -> str:
    import torch

    wanted = os.environ.get("ATELIER_GPU_TESTS_DEVICE", "cuda")
    if wanted != "cpu" and not torch.cuda.is_available():
        pytest.skip("no CUDA device: torch.cuda.is_available() is False")
    from models.memory.budget import device_name

    return device_name(wanted)


@pytest.fixture(autouse=True)
def clean_device(device: str) -> Iterator[None]:
    """Every test starts with exact float32 and ends with the whole card free."""
    import torch

    from models.memory.usage import release_memory

    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = matmul
    torch.backends.cudnn.allow_tf32 = convolution
    release_memory(device)
    if device != "cpu":
        torch.cuda.set_per_process_memory_fraction(1.0, device)


@pytest.fixture(scope="session")
def folders(device: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Saved miniatures by name; they are built on the CPU, so that every device has the same."""
    from tests.support.miniatures import flows, pictures

    builders = {
        "sd15": pictures.stable_diffusion,
        "sdxl": pictures.stable_diffusion_xl,
        "flux": flows.flux,
        "klein": flows.flux2_klein,
    }
    return {name: build(tmp_path_factory.mktemp(name)) for name, build in builders.items()}
