"""The planner: managers by the work, generators by their queues, and room for every generator."""

from collections.abc import Mapping
from random import Random

import pytest

from deployments.autoscaling.packing import NodeResources, ReplicaResources, pack
from deployments.autoscaling.planner import Limits, Load, Planner, Rules
from deployments.gpu_manager.names import GPU_MANAGER, GPU_SHARE

RULES = Rules(drain_s=20, idle_s=60, settle_s=30, node_s=100)
NAMES = "abcdef"


def queue(waiting: int = 0, active: int = 0, job_s: float = 1.0) -> Load:
    return Load(0, 0, waiting, active, job_s)


def everybody(each: Load) -> dict[str, Load]:
    return dict.fromkeys(NAMES, each)


def manager(share: float = GPU_SHARE, cpus: float = 0.0, least: int = 0, most: int = 8) -> Limits:
    return Limits(ReplicaResources(cpus, share), min_replicas=least, max_replicas=most)


def six(share: float = 0.08, cpus: float = 0.0, **more: int) -> dict[str, Limits]:
    replica = ReplicaResources(cpus, share)
    return {name: Limits(replica, **{"max_replicas": 4, **more}) for name in NAMES}


class Play:
    """A planner whose decisions come true at once, with queues set by hand."""

    def __init__(
        self,
        generators: Mapping[str, Limits],
        gpus: int = 1,
        managers: Limits | None = None,
        cpus: float = 8.0,
    ) -> None:
        self.limits = {GPU_MANAGER: managers or manager(), **generators}
        self.nodes = [NodeResources(cpus, gpus)]
        self.planner = Planner(RULES)
        self.target = dict.fromkeys(self.limits, 0)
        self.managers_start = True
        self.now = 0.0

    def loads(self, **queues: Load) -> dict[str, Load]:
        found = {name: queues.get(name, queue()) for name in self.limits}
        return {
            name: Load(
                self.target[name],
                self.target[name] if name != GPU_MANAGER or self.managers_start else 0,
                one.waiting,
                one.active,
                one.job_s,
            )
            for name, one in found.items()
        }

    def look(self, **queues: Load) -> dict[str, int]:
        self.target = self.planner.plan(self.now, self.nodes, self.limits, self.loads(**queues))
        return self.target

    def settle(self, **queues: Load) -> dict[str, int]:
        """Replicas that wait for a manager come with the look after it runs."""
        self.look(**queues)
        return self.look(**queues)

    def for_seconds(self, seconds: float, **queues: Load) -> dict[str, int]:
        end = self.now + seconds
        while self.now < end:
            self.look(**queues)
            self.now += 0.5
        return self.look(**queues)


def used(target: Mapping[str, int]) -> dict[str, int]:
    return {name: replicas for name, replicas in target.items() if replicas}


def test_the_first_job_starts_a_manager_and_its_generator_at_the_same_moment() -> None:
    assert used(Play(six()).look(a=queue(1))) == {GPU_MANAGER: 1, "a": 1}


def test_without_work_nothing_runs_and_minimums_have_a_manager() -> None:
    assert used(Play(six()).look()) == {}
    assert used(Play(six(), managers=manager(least=1)).look()) == {GPU_MANAGER: 1}
    kept = six() | {"a": Limits(ReplicaResources(0.0, 0.08), min_replicas=1)}
    assert used(Play(kept).look()) == {GPU_MANAGER: 1, "a": 1}


def test_six_generators_with_endless_work_run_on_one_card_and_none_is_ever_restarted() -> None:
    play = Play(six())
    play.for_seconds(60, a=queue(1000))
    for _ in range(1200):
        target = play.look(**everybody(queue(50, job_s=30)))
        assert target == {GPU_MANAGER: 1, **dict.fromkeys(NAMES, 1)}
        play.now += 0.5


def test_extra_replicas_leave_room_for_the_first_one_of_every_generator() -> None:
    play = Play(six(), gpus=2)
    assert play.settle(a=queue(1000, job_s=60))["a"] == 4
    play = Play(six(max_replicas=20), gpus=2)
    assert play.settle(a=queue(1000, job_s=60)) | {"a": 7, GPU_MANAGER: 2} == play.target
    before = dict(play.target)
    assert play.look(a=queue(1000, job_s=60), b=queue(1)) == before | {"b": 1}


def test_more_replicas_of_a_generator_wait_until_the_new_managers_have_found_their_cards() -> None:
    play = Play(six(), gpus=2)
    play.managers_start = False
    assert used(play.for_seconds(5, a=queue(1000, job_s=60))) == {GPU_MANAGER: 2, "a": 1}
    play.managers_start = True
    assert play.look(a=queue(1000, job_s=60))["a"] == 4


def test_one_job_needs_one_replica_and_ten_short_ones_no_more() -> None:
    assert Play(six(), 4).settle(a=queue(1))["a"] == 1
    assert Play(six(), 4).settle(a=queue(10))["a"] == 1


def test_a_long_queue_gets_more_replicas_up_to_its_bound() -> None:
    assert Play(six(), 4).settle(a=queue(60))["a"] == 3
    assert Play(six(), 4).settle(a=queue(1000))["a"] == 4


def test_no_more_replicas_than_the_jobs_can_fill() -> None:
    assert Play(six(), 4).settle(a=queue(2, job_s=600))["a"] == 2
    assert Play(six(concurrency=4), 4).settle(a=queue(5, job_s=600))["a"] == 2


def test_an_extra_replica_does_not_move_for_a_slightly_longer_queue() -> None:
    limits = {"a": Limits(ReplicaResources(1.0, 0.0), max_replicas=4)}
    limits["b"] = limits["a"]
    play = Play(limits, managers=manager(share=0.0), cpus=3)
    assert play.settle(a=queue(220), b=queue(200)) | {"a": 2, "b": 1} == play.target
    assert play.look(a=queue(200), b=queue(220)) | {"a": 2, "b": 1} == play.target
    assert play.look(a=queue(200), b=queue(300)) | {"a": 1, "b": 2} == play.target


def test_managers_and_generators_go_after_their_idle_time_and_not_before() -> None:
    play = Play(six(), 4)
    play.look(a=queue(1))
    assert used(play.for_seconds(59)) == {GPU_MANAGER: 1, "a": 1}
    assert used(play.for_seconds(2)) == {}


def test_surplus_goes_early_unless_the_queue_comes_and_goes() -> None:
    play = Play(six(), 4)
    three = {GPU_MANAGER: 3, "a": 3}
    assert used(play.settle(a=queue(60))) == three
    assert used(play.for_seconds(20, a=queue(1))) == three
    assert used(play.for_seconds(1, a=queue(60))) == three
    assert used(play.for_seconds(29, a=queue(1))) == three
    assert used(play.for_seconds(5, a=queue(1))) == {GPU_MANAGER: 1, "a": 1}


def test_the_last_job_of_a_replica_on_its_way_out_keeps_the_manager_and_starts_no_replica() -> None:
    assert used(Play(six()).look(a=queue(active=1))) == {GPU_MANAGER: 1}


def test_fewer_gpus_than_before_take_managers_away_and_the_replicas_that_were_beside_them() -> None:
    play = Play(six(), 2)
    queues = everybody(queue(500))
    assert sum(play.settle(**queues).values()) == 2 + 12
    play.nodes = [NodeResources(8.0, 1)]
    assert sum(play.look(**queues).values()) == 1 + 6
    play.nodes = [NodeResources(8.0, 0)]
    assert used(play.look(**queues)) == {}, "without a manager nobody can work"


def test_a_machine_without_gpus_has_one_manager_and_what_the_queues_need() -> None:
    play = Play(six(share=0.0, max_replicas=1), 0, manager(share=0.0, most=1))
    target = play.look(**everybody(queue(300)))
    assert target == {GPU_MANAGER: 1, **dict.fromkeys(NAMES, 1)}


def test_where_cpus_do_not_do_for_all_the_most_work_comes_first_and_no_generator_has_two() -> None:
    play = Play(six(cpus=1.0), 0, manager(share=0.0, cpus=1.0, most=1), cpus=4.0)
    play.limits |= six(share=0.0, cpus=1.0)
    queues = {name: queue(10 * n + 10) for n, name in enumerate(NAMES)}
    assert used(play.settle(**queues)) == {GPU_MANAGER: 1, "d": 1, "e": 1, "f": 1}
    queues["a"] = queue(44)
    assert play.look(**queues)["a"] == 0, "not for a queue that is a little longer"
    queues["a"] = queue(60)
    assert used(play.look(**queues)) == {GPU_MANAGER: 1, "a": 1, "e": 1, "f": 1}
    assert used(play.look(a=queue(1), b=queue(1), c=queue(1))) == {
        GPU_MANAGER: 1,
        **dict.fromkeys("abc", 1),
    }, "who is idle yields at once"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_queues_do_the_plan_fits_and_every_generator_with_work_runs(
    seed: int,
) -> None:
    random = Random(seed)
    gpus = random.randint(1, 3)
    generators = {
        name: Limits(
            ReplicaResources(0.1, 0.08),
            random.randint(1, 4),
            min_replicas=random.choice([0, 0, 0, 1]),
            max_replicas=random.randint(1, 4),
        )
        for name in NAMES
    }
    play = Play(generators, gpus, manager(cpus=0.5))
    for _ in range(1000):
        queues = {
            name: queue(random.choice([0, 0, 1, 3, 50]), job_s=random.choice([1, 30]))
            for name in NAMES
        }
        target = play.look(**queues)
        asked = [play.limits[name].replica for name, n in target.items() for _ in range(n)]
        assert pack(asked, play.nodes)
        for name in NAMES:
            least = max(generators[name].min_replicas, min(queues[name].waiting, 1))
            assert least <= target[name] <= generators[name].max_replicas
            assert target[name] == 0 or target[GPU_MANAGER] > 0
        play.now += random.choice([0.1, 1, 10])


def needed(generators: Mapping[str, Limits], managers: Limits | None = None, **queues: Load) -> int:
    """The GPUs that a cluster should have for the work, where a new node takes 100 s."""
    play = Play(generators, managers=managers)
    return play.planner.needed_gpus(play.limits, play.loads(**queues))


def test_no_work_needs_no_gpu_and_a_job_of_each_needs_one() -> None:
    assert needed(six()) == 0
    assert needed(six(), a=queue(1)) == 1
    assert needed(six(), a=queue(active=1)) == 1
    assert needed(six(), **everybody(queue(1))) == 1


def test_work_is_worth_as_many_gpus_as_do_it_while_a_node_starts() -> None:
    assert needed(six(), a=queue(150)) == 2
    assert needed(six(concurrency=4), a=queue(150)) == 1
    assert needed(six(), a=queue(350), b=queue(350)) == 7
    assert needed(six(), manager(most=3), a=queue(350), b=queue(350)) == 3


def test_no_more_gpus_are_needed_than_jobs_and_replicas_can_use() -> None:
    assert needed(six(), a=queue(2, job_s=3600)) == 2
    assert needed(six(max_replicas=3), a=queue(1000, job_s=3600)) == 3
    assert needed(six(concurrency=2), a=queue(5, job_s=3600)) == 3


def test_minimums_need_their_gpus_without_work() -> None:
    assert needed(six(), manager(least=2)) == 2
    assert needed({"a": Limits(ReplicaResources(0.5, 0.08), min_replicas=3, max_replicas=3)}) == 1


def test_machines_without_gpus_need_none() -> None:
    assert needed(six(share=0.0), manager(share=0.0), a=queue(10_000, job_s=100)) == 0
