"""docs/faults.md: a row for every id that a test name carries, and a test for every row."""

from docs.faults import PAGE, filled, modules, rows


def test_every_id_of_a_test_has_a_row_and_every_row_a_test() -> None:
    assert sorted(rows(PAGE.read_text())) == sorted(modules())


def test_the_modules_are_named_where_they_are() -> None:
    assert PAGE.read_text() == filled(PAGE.read_text()), "write them anew: python -m docs.faults"
