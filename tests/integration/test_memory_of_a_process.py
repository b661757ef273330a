"""Memory is saved and runs out in a process of its own, whose memory nobody else takes."""

import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

OFFLOADED = """
    import diffusers.hooks  # takes memory of its own, which is not to be counted
    import torch
    from models.memory.usage import memory_usage, release_memory, reset_peak
    from models.memory.plans import MemoryPlan, apply_plan
    from models.memory.peaks import MB
    model = torch.nn.Sequential(*[torch.nn.Linear(2048, 2048) for _ in range(12)]).eval()
    x = torch.ones(1, 2048)
    with torch.no_grad():
        expected = model(x)
        before = memory_usage("cpu").allocated
        apply_plan(model, MemoryPlan.GROUP_OFFLOAD, "cpu", "none")
        release_memory("cpu")
        can_reset = reset_peak("cpu")
        assert torch.allclose(model(x), expected, atol=1e-5)
    print(can_reset, (before - memory_usage("cpu").peak) // MB)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_on_a_cpu_offloaded_layers_are_on_disk_and_not_in_memory() -> None:
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OFFLOADED)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    can_reset, saved = out.stdout.split()
    if can_reset == "False":
        pytest.skip("this system does not let a process reset its peak")
    assert int(saved) > 120, "of 192 MB of weights, one layer of 16 MB is needed at a time"


# A process whose budget is enforced really runs out: decoding 1280 x 1280 pixels at once takes some
# 600 MB, in tiles some 220.
LIMITED = """
    import sys, torch
    from models.memory.usage import memory_usage
    from models.profiles.load import Capability, load_profile
    from models.memory.loader import LoadedModel, ModelLoader
    from models.memory.cache import OutOfMemory, ModelCache
    from models.weights.load import load_model

    torch.set_num_threads(1)
    model = load_profile("tiny").model(Capability.TEXT_TO_IMAGE)
    tiny = ModelLoader("tiny", model.memory, lambda: LoadedModel(load_model(model)))

    def draw(size):
        def work(loaded):
            with torch.no_grad():
                return tuple(loaded.network.vae.decode(torch.zeros(1, 4, size, size)).sample.shape)
        return work

    load_model(model)
    models = ModelCache.for_device("cpu")
    print(models.run(tiny, draw(16)), models.stats().plans)
    print(models.run(tiny, draw(320)), models.stats().plans)
    try:
        models.run(tiny, lambda _: torch.ones(2**28))
    except OutOfMemory as error:
        print(type(error).__name__, models.stats().ooms)
    print(models.run(tiny, draw(320)), models.stats().plans)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits private memory")
def test_a_process_that_really_runs_out_falls_and_lives_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED)],
        cwd=Path(__file__).parents[2], env={"ATELIER_RAM_BUDGET_MB": "400", "PATH": "/usr/bin"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "(1, 3, 64, 64) {'tiny': 'resident'}",
        "(1, 3, 1280, 1280) {'tiny': 'sliced'}",
        "OutOfMemory 3",
        "(1, 3, 1280, 1280) {'tiny': 'sliced'}",
    ]
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY, "only there"
