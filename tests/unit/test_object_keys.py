"""A key never leads out of its user's folder."""

import pytest

from db.object_store import input_key, output_key, reference_key, temp_key


def test_the_layout() -> None:
    assert input_key("usr_a", "job_a", "x.png") == "inputs/usr_a/job_a/x.png"
    assert output_key("usr_a", "job_a", 2, "x.png") == "outputs/usr_a/job_a/2-x.png"
    assert reference_key("usr_a", "x.png") == "references/usr_a/x.png"
    assert temp_key("job_a", "x.png") == "temp/job_a/x.png"


def test_attempts_never_share_a_key() -> None:
    assert output_key("u", "j", 1, "x") != output_key("u", "j", 2, "x")


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "../x", "a\\b", "a\nb", "a\x00b"])
def test_a_part_that_could_lead_elsewhere_is_refused(part: str) -> None:
    for build in (
        lambda: input_key(part, "j", "n"),
        lambda: input_key("u", part, "n"),
        lambda: output_key("u", "j", 1, part),
        lambda: reference_key("u", part),
        lambda: temp_key(part, "n"),
    ):
        with pytest.raises(ValueError):
            build()
