"""The planner: bounds, turns, surplus, and that nobody starves."""

from collections.abc import Mapping
from random import Random

import pytest

from deployments.autoscaling.packing import NodeResources, pack
from deployments.autoscaling.planner import GeneratorLimits, GeneratorLoad, Planner, Rules

RULES = Rules(drain_s=20, idle_s=60, settle_s=30, shortest_turn_s=10)


def seen(waiting: int = 0, active: int = 0, target: int = 0, **more: float) -> GeneratorLoad:
    running = int(more.pop("running", target))
    return GeneratorLoad(
        waiting, active, target, running, more.get("job_s", 1.0), more.get("load_s", 2.0)
    )


def machine(gpus: int, cpus: float = 8.0) -> list[NodeResources]:
    """One node."""
    return [NodeResources(cpus, gpus)]


class Play:
    """A planner whose decisions come true at once, with queues set by hand."""

    def __init__(
        self, terms: Mapping[str, GeneratorLimits], gpus: int, rules: Rules = RULES
    ) -> None:
        self.terms, self.gpus = terms, gpus
        self.planner = Planner(rules)
        self.target = dict.fromkeys(terms, 0)
        self.now = 0.0

    def look(self, **queues: GeneratorLoad) -> dict[str, int]:
        found = {name: queues.get(name, seen()) for name in self.terms}
        now_there = {
            name: GeneratorLoad(
                one.waiting, one.active, self.target[name], self.target[name], one.job_s, one.load_s
            )
            for name, one in found.items()
        }
        self.target = self.planner.plan(self.now, machine(self.gpus), self.terms, now_there)
        return self.target

    def for_seconds(self, seconds: float, **queues: GeneratorLoad) -> dict[str, int]:
        end = self.now + seconds
        while self.now < end:
            self.look(**queues)
            self.now += 0.5
        return self.look(**queues)


def six(share: float = 0.5, **more: int) -> dict[str, GeneratorLimits]:
    return {name: GeneratorLimits(share, **{"max_replicas": 4, **more}) for name in "abcdef"}


def test_one_job_starts_one_replica_and_ten_short_ones_no_more() -> None:
    assert Play(six(), 4).look(a=seen(1))["a"] == 1
    assert Play(six(), 4).look(a=seen(10, job_s=1))["a"] == 1


def test_a_long_queue_gets_more_replicas_up_to_its_bound() -> None:
    assert Play(six(), 4).look(a=seen(60, job_s=1))["a"] == 3
    assert Play(six(), 4).look(a=seen(1000, job_s=1))["a"] == 4


def test_no_more_replicas_than_the_jobs_can_fill() -> None:
    assert Play(six(), 4).look(a=seen(2, job_s=600))["a"] == 2
    assert Play(six(concurrency=4), 4).look(a=seen(5, job_s=600))["a"] == 2


def test_the_last_replica_goes_after_its_idle_time_and_not_before() -> None:
    play = Play(six(), 4)
    play.look(a=seen(1))
    assert play.for_seconds(59)["a"] == 1
    assert play.for_seconds(2)["a"] == 0


def test_surplus_replicas_go_early_unless_the_queue_comes_and_goes() -> None:
    play = Play(six(), 4)
    assert play.look(a=seen(60))["a"] == 3
    assert play.for_seconds(20, a=seen(1))["a"] == 3
    assert play.for_seconds(1, a=seen(60))["a"] == 3
    assert play.for_seconds(29, a=seen(1))["a"] == 3
    assert play.for_seconds(5, a=seen(1))["a"] == 1


def test_floors_are_kept_without_work_and_ceilings_with_any() -> None:
    play = Play(
        {
            "a": GeneratorLimits(0.5, min_replicas=1, max_replicas=1),
            "b": GeneratorLimits(0.5, max_replicas=2),
        },
        1,
    )
    assert play.for_seconds(200) == {"a": 1, "b": 0}
    assert play.for_seconds(200, b=seen(1000)) == {"a": 1, "b": 1}


def test_six_under_constant_load_take_turns_on_two_seats() -> None:
    play = Play(six(), 1)
    queues = {name: seen(50, job_s=2) for name in "abcdef"}
    seats = dict.fromkeys("abcdef", 0)
    without = dict.fromkeys("abcdef", 0.0)
    worst = 0.0
    for _ in range(1200):
        target = play.look(**queues)
        assert sum(target.values()) == 2, "the GPU is never left half empty"
        for name, replicas in target.items():
            seats[name] += replicas
            without[name] = 0.0 if replicas else without[name] + 0.5
            worst = max(worst, without[name])
        play.now += 0.5
    # A turn is 18 s (loading of 2 s is a tenth of it), and there are two others before one's own.
    assert worst <= 2 * 18 + 2
    assert max(seats.values()) - min(seats.values()) <= 2 * 18 * 2


def test_a_heavier_queue_gets_longer_turns_and_the_others_still_theirs() -> None:
    play = Play(six(), 1)
    queues = {name: seen(10, job_s=1) for name in "bcdef"} | {"a": seen(200, job_s=1)}
    seats = dict.fromkeys("abcdef", 0)
    for _ in range(4000):
        for name, replicas in play.look(**queues).items():
            seats[name] += replicas
        play.now += 0.5
    assert seats["a"] > 1.5 * seats["b"]
    assert min(seats.values()) > 0.1 * max(seats.values())


def test_small_shares_cannot_starve_a_large_one() -> None:
    terms = {name: GeneratorLimits(0.25, max_replicas=4) for name in "abcde"} | {
        "big": GeneratorLimits(1.0)
    }
    play = Play(terms, 1)
    queues = {name: seen(100) for name in terms}
    seated = 0
    for _ in range(800):
        seated += play.look(**queues)["big"]
        play.now += 0.5
    assert seated > 40


def test_who_has_no_work_yields_at_once_to_who_starves() -> None:
    play = Play(six(), 1)
    play.for_seconds(5, a=seen(5), b=seen(5))
    assert play.look(b=seen(5), c=seen(1)) == {"a": 0, "b": 1, "c": 1, "d": 0, "e": 0, "f": 0}


def test_an_idle_generator_yields_to_a_long_queue_when_that_pays() -> None:
    play = Play(six(), 1)
    play.for_seconds(5, a=seen(5, load_s=8), b=seen(500, load_s=8))
    idle = {"a": seen(load_s=8), "b": seen(500, load_s=8)}
    assert play.for_seconds(6, **idle)["a"] == 1
    assert play.for_seconds(4, **idle) | {"a": 0, "b": 2} == play.target


def test_a_replica_that_never_comes_up_does_not_hold_its_seat() -> None:
    planner, terms = Planner(RULES), {"broken": GeneratorLimits(1.0), "good": GeneratorLimits(1.0)}
    target = {"broken": 1, "good": 0}
    for tick in range(200):
        looks = {
            "broken": seen(5, target=target["broken"], running=0),
            "good": seen(5, target=target["good"]),
        }
        target = planner.plan(tick * 0.5, machine(1), terms, looks)
        if target["good"]:
            return
    raise AssertionError("the broken generator kept its seat")


def test_fewer_gpus_than_before_take_replicas_away() -> None:
    play = Play(six(), 2)
    queues = {name: seen(50) for name in "abcd"}
    assert sum(play.look(**queues).values()) == 4
    play.gpus = 1
    assert sum(play.look(**queues).values()) == 2
    play.gpus = 0
    assert sum(play.look(**queues).values()) == 0


def test_without_shares_everybody_gets_what_the_queue_needs() -> None:
    play = Play(six(share=0.0, max_replicas=1), 0)
    assert play.look(**{name: seen(3) for name in "abcdef"}) == dict.fromkeys("abcdef", 1)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_queues_do_the_plan_fits_and_keeps_the_bounds(seed: int) -> None:
    random = Random(seed)
    gpus = random.randint(1, 3)
    terms = {
        name: GeneratorLimits(
            random.choice([0.1, 0.25, 0.3, 0.5, 0.6, 1.0]),
            random.randint(1, 4),
            min_replicas=random.choice([0, 0, 0, 1]),
            max_replicas=random.randint(1, 4),
        )
        for name in "abcdef"
    }
    play = Play(terms, gpus)
    served = dict.fromkeys(terms, 0)
    for _ in range(2000):
        queues = {
            name: seen(
                random.choice([0, 0, 1, 3, 50]),
                job_s=random.choice([1, 30]),
                load_s=random.random(),
            )
            for name in terms
        }
        target = play.look(**queues)
        assert pack([terms[n].replica for n, r in target.items() for _ in range(r)], machine(gpus))
        for name, replicas in target.items():
            assert 0 <= replicas <= terms[name].max_replicas
            served[name] += replicas
        play.now += random.choice([0.1, 1, 10])
    floors = [terms[n].replica for n in terms for _ in range(terms[n].min_replicas)]
    if pack([*floors, GeneratorLimits(1.0).replica], machine(gpus)):
        assert min(served.values()) > 0


def test_an_extra_replica_does_not_move_for_a_slightly_longer_queue() -> None:
    play = Play(
        {"a": GeneratorLimits(0.3, max_replicas=4), "b": GeneratorLimits(0.3, max_replicas=4)}, 1
    )
    assert play.look(a=seen(220), b=seen(200)) == {"a": 2, "b": 1}
    assert play.look(a=seen(200), b=seen(220)) == {"a": 2, "b": 1}
    assert play.look(a=seen(200), b=seen(300)) == {"a": 1, "b": 2}


def test_nobody_leaves_for_who_would_not_fit_even_so() -> None:
    terms = {name: GeneratorLimits(0.25) for name in "abc"} | {"big": GeneratorLimits(1.0)}
    play = Play(terms, 1)
    play.for_seconds(25, a=seen(9), b=seen(9))
    play.look(a=seen(9), b=seen(9), c=seen(9))
    # The turns of two are over, that of the third is not.
    now = play.look(a=seen(9), b=seen(9), c=seen(9), big=seen(9))
    assert now == {"a": 1, "b": 1, "c": 1, "big": 0}


def test_while_a_large_share_waits_for_room_nothing_new_takes_it() -> None:
    terms = {"small": GeneratorLimits(0.5, max_replicas=2), "big": GeneratorLimits(1.0)}
    play = Play(terms, 1)
    assert play.look(small=seen(1)) == {"small": 1, "big": 0}
    # Its turn lasts; meanwhile the other half is not given away, and the turn is not cut short.
    assert play.look(small=seen(100), big=seen(1)) == {"small": 1, "big": 0}
    assert play.for_seconds(38, small=seen(100), big=seen(1)) == {"small": 0, "big": 1}


def test_the_turn_that_ended_first_makes_room_first() -> None:
    play = Play(six(), 1)
    play.for_seconds(15, a=seen(50))
    play.for_seconds(30, a=seen(50), b=seen(50))
    assert play.look(a=seen(50), b=seen(50), c=seen(1)) | {"b": 1, "c": 1} == play.target


def test_the_last_job_of_a_replica_on_its_way_out_starts_no_other() -> None:
    planner, terms = Planner(RULES), {"a": GeneratorLimits(0.5, max_replicas=2)}
    assert planner.plan(0.0, machine(1), terms, {"a": seen(active=1, target=0)}) == {"a": 0}


def test_replicas_are_bounded_by_cpus_too() -> None:
    terms = {name: GeneratorLimits(0.1, max_replicas=4, cpus=0.5) for name in "abcdef"}
    play = Play(terms, 4)
    queues = {name: seen(1000) for name in "abcdef"}
    assert sum(play.look(**queues).values()) == 16, "eight CPUs, and four GPUs half empty"
    without_gpus = {name: GeneratorLimits(0.0, cpus=3.0) for name in "abcdef"}
    assert sum(Play(without_gpus, 0).look(**queues).values()) == 2


def test_generators_take_turns_for_cpus_as_for_gpus() -> None:
    play = Play({name: GeneratorLimits(0.0, cpus=4.0) for name in "abcdef"}, 0)
    seats = dict.fromkeys("abcdef", 0)
    for _ in range(600):
        for name, replicas in play.look(**{name: seen(50) for name in "abcdef"}).items():
            seats[name] += replicas
        play.now += 0.5
    assert min(seats.values()) > 0


def needed(terms: Mapping[str, GeneratorLimits], **queues: GeneratorLoad) -> list[int]:
    """The GPUs that a cluster should have for the work, where a new node takes 100 s."""
    loads = {name: queues.get(name, seen()) for name in terms}
    return Planner(Rules(node_s=100)).needed_gpus(terms, loads)


def test_no_work_needs_no_gpu_and_a_single_job_one() -> None:
    assert needed(six()) == []
    assert needed(six(), a=seen(1)) == [1]
    assert needed(six(), a=seen(active=1)) == [1]


def test_a_job_of_each_is_worth_no_new_node_and_takes_turns_instead() -> None:
    assert needed(six(share=1.0), **{name: seen(1) for name in "abcdef"}) == [1]


def test_work_is_worth_as_many_gpus_as_do_it_while_a_node_starts() -> None:
    assert needed(six(), a=seen(700), b=seen(700)) == [1] * 4, "half a GPU for 1400 s, and no more"
    assert needed(six(max_replicas=8), a=seen(700), b=seen(700)) == [1] * 8
    assert needed(six(share=1.0), a=seen(150, job_s=1.0)) == [1, 1]
    assert needed(six(share=1.0, concurrency=4), a=seen(150, job_s=1.0)) == [1]


def test_no_more_gpus_are_needed_than_jobs_and_replicas_can_use() -> None:
    assert needed(six(share=1.0), a=seen(2, job_s=3600)) == [1, 1]
    assert needed(six(share=1.0, max_replicas=3), a=seen(1000, job_s=3600)) == [1] * 3
    assert needed(six(share=0.5, concurrency=2), a=seen(5, job_s=3600)) == [1, 1]


def test_minimums_need_their_gpus_without_work() -> None:
    assert needed({"a": GeneratorLimits(0.5, min_replicas=3, max_replicas=3)}) == [1, 1]


def test_a_share_of_several_gpus_needs_them_on_one_node() -> None:
    terms = {"big": GeneratorLimits(2.0, max_replicas=2), "small": GeneratorLimits(0.5)}
    assert needed(terms, small=seen(1)) == [1]
    assert needed(terms, big=seen(1)) == [2]
    assert needed(terms, big=seen(1), small=seen(1, job_s=1000)) == [2, 1]


def test_machines_without_gpus_need_none() -> None:
    assert needed(six(share=0.0), a=seen(10_000, job_s=100)) == []
