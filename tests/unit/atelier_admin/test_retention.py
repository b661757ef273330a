"""Retention by hand-made manifests; names of segments of the log."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from atelier_admin.backup.archive import segment_name
from atelier_admin.backup.manifests import Manifest
from atelier_admin.backup.retention import kept, segment_number

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def manifest(number: int, parent: int | None) -> Manifest:
    return Manifest(
        id=f"{number:03}",
        kind="base" if parent is None else "incremental",
        parent=None if parent is None else f"{parent:03}",
        started_at=NOW,
        listed_at=NOW,
        finished_at=NOW,
        postgres=None,
        files=[],
    )


@given(st.data(), st.integers(1, 5))
def test_what_is_kept_can_be_restored_and_the_newest_always_is(
    data: st.DataObject, keep_full: int
) -> None:
    """Whatever stands on whatever: a kept backup's parents are kept, too."""
    made = [manifest(0, None)]
    for number in range(1, data.draw(st.integers(1, 12))):
        parent = data.draw(st.none() | st.just(number - 1))
        made.append(manifest(number, parent))
    manifests = {one.id: one for one in made}
    keep = kept(manifests, keep_full)
    assert made[-1].id in keep
    assert all(manifests[one].parent in (keep | {None}) for one in keep)
    fulls = [one for one in keep if manifests[one].parent is None]
    assert len(fulls) == min(keep_full, sum(one.parent is None for one in made))


def test_one_whose_parent_is_gone_is_not_kept() -> None:
    manifests = {one.id: one for one in (manifest(0, None), manifest(7, 6))}
    assert kept(manifests, 7) == {"000"}


@given(st.integers(0, 2**40), st.integers(1, 2**31))
def test_names_of_segments(number: int, timeline: int) -> None:
    name = segment_name(timeline, number % 2**39)
    assert segment_number(f"wal/{name}.partial") == number % 2**39
    assert segment_number("wal/00000002.history") is None
