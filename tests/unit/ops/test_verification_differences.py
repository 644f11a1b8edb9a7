"""How rows are compared, and what is said of those that differ."""

from services.ops.verification.differences import (
    Comparison,
    Difference,
    FieldDifference,
    Hash,
    Row,
    joined,
)


def compared(log: Row | None, database: Row | None) -> list[Difference]:
    comparison = Comparison(limit=10)
    comparison.compare("m", "k", log, database)
    return comparison.differences


def test_equal_rows_are_no_difference_whatever_the_order_of_keys() -> None:
    assert compared({"a": 1, "b": {"c": 2, "d": []}}, {"b": {"d": [], "c": 2}, "a": 1}) == []


def test_fields_are_named_by_their_paths() -> None:
    log = {"status": "ready", "state": {"images": [{"w": 1}, {"w": 2}], "gone": 1, "same": 0}}
    database = {"status": "ready", "state": {"images": [{"w": 1}, {"w": 3}], "new": 1, "same": 0}}
    (found,) = compared(log, database)
    assert found == Difference(
        "m",
        "k",
        "differs",
        (
            FieldDifference("state.gone", 1, None),
            FieldDifference("state.images.1.w", 2, 3),
            FieldDifference("state.new", None, 1),
        ),
    )


def test_a_list_that_is_too_short_or_too_long_is_named() -> None:
    (found,) = compared({"images": [1, 2]}, {"images": [1, 2, 3]})
    assert found.fields == (FieldDifference("images.2", None, 3),)


def test_true_is_not_one_and_one_is_not_a_text() -> None:
    assert [each.kind for each in compared({"a": 1}, {"a": True})] == ["differs"]
    assert [each.kind for each in compared({"a": 1}, {"a": "1"})] == ["differs"]


def test_a_row_may_be_missing_or_unexpected() -> None:
    assert [each.kind for each in compared({"a": 1}, None)] == ["missing"]
    assert [each.kind for each in compared(None, {"a": 1})] == ["unexpected"]


def test_missing_here_and_unexpected_there_is_one_row_that_differs() -> None:
    missing, unexpected = compared({"a": 1, "b": 2}, None) + compared(None, {"a": 1, "b": 3})
    for found in ([missing, unexpected], [unexpected, missing]):
        assert joined(found) == [Difference("m", "k", "differs", (FieldDifference("b", 2, 3),))]


def test_only_as_many_as_wanted_are_named_and_all_are_counted() -> None:
    comparison = Comparison(limit=2)
    for number in range(5):
        comparison.compare("m", str(number), {"a": 1}, None)
    assert [found.key for found in comparison.differences] == ["0", "1"]
    assert comparison.counts == {"m": 5}


def test_hashes_tell_equal_models_whatever_the_order() -> None:
    one, other = Hash(), Hash()
    for digest in (b"\x01" * 8, b"\x02" * 8):
        one.add(digest, digest)
    for digest in (b"\x02" * 8, b"\x01" * 8):
        other.add(digest, digest)
    assert one == other
    assert one.log == one.database != 0
    other.add(b"\x03" * 8, None)
    assert (other.rows, other.log == other.database) == (2, False)
