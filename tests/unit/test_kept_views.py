"""Views of jobs that are kept: which, and how many."""

from datetime import UTC, datetime, timedelta

from serve_app.jobs.kept_views import MOST_BYTES_OF_ONE, KeptViews, WrittenView

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def view(job_id: str, size: int = 10, version: str = "1") -> WrittenView:
    return WrittenView(job_id, version, NOW, b"x" * size, None)


def test_another_version_and_links_of_another_time_are_not_given() -> None:
    kept = KeptViews()
    kept.keep(view("a"))
    assert kept.get("a", "1", NOW) == view("a")
    assert kept.get("a", "2", NOW) is None
    assert kept.get("a", "1", NOW + timedelta(seconds=1)) is None
    assert kept.get("b", "1", NOW) is None
    kept.keep(view("a", version="2"))
    assert kept.get("a", "1", NOW) is None


def test_those_used_longest_ago_make_room() -> None:
    kept = KeptViews(most_bytes=100)
    for name in "abcde":
        kept.keep(view(name, 20))
    assert kept.get("a", "1", NOW)
    kept.keep(view("f", 40))
    assert [name for name in "abcdef" if kept.get(name, "1", NOW)] == ["a", "d", "e", "f"]


def test_a_view_is_counted_once_however_often_it_is_written() -> None:
    kept = KeptViews(most_bytes=100)
    kept.keep(view("a", 40))
    for version in range(10):
        kept.keep(view("b", 40, str(version)))
    assert kept.get("a", "1", NOW)


def test_a_large_view_is_not_kept_nor_the_one_before_it() -> None:
    kept = KeptViews()
    kept.keep(view("a"))
    kept.keep(view("a", MOST_BYTES_OF_ONE + 1))
    assert kept.get("a", "1", NOW) is None


def test_a_position_is_written_where_the_model_writes_it_and_nowhere_else() -> None:
    said = b'"stage":"\\"queue_position\\":null"'
    asked = b'"input":{"queue_position":null}'
    text = b'{%b,"queue_position":null,%b}' % (said, asked)
    waiting = WrittenView("a", "1", NOW, text, ("image", "a-1"))
    assert waiting.at(None) == text
    assert waiting.at(7) == b'{%b,"queue_position":7,%b}' % (said, asked)
