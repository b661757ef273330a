"""How the memory of the service is divided among its parts."""

import pytest

from benchmarks.service_memory import Memory, part_of


@pytest.mark.parametrize(
    ("command", "parents", "part"),
    [
        (["ray::ServeReplica:atelier:story_video.check_health"], [], "replica: story_video"),
        (["ray::ServeReplica:atelier:keeper"], ["raylet", "python"], "replica: keeper"),
        (["ray::ProxyActor"], ["raylet"], "Ray"),
        (["/venv/lib/site-packages/ray/core/src/ray/raylet/raylet", "--port=1"], [], "Ray"),
        (["/venv/bin/haproxy", "-db"], ["python"], "Ray"),
        (["postgres: atelier atelier 127.0.0.1(36454) idle"], ["postgres"], "store: postgres"),
        (["/venv/pginstall/bin/postgres", "-D", "/data"], ["python"], "store: postgres"),
        (["/venv/bin/weed", "mini"], ["python"], "store: seaweedfs"),
        (["/venv/valkey-server", "127.0.0.1:1"], ["python"], "store: valkey"),
        (["/venv/bin/python", "-m", "scripts.dev"], [], "the program that started it"),
    ],
)
def test_a_process_is_counted_to_the_part_it_is(
    command: list[str], parents: list[str], part: str
) -> None:
    assert part_of(command, parents) == part


def test_the_sum_is_over_all_parts() -> None:
    assert Memory({"Ray": 10.0, "replica: image": 2.5}).sum_mib == 12.5
