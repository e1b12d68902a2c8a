"""docs/faults.md: a row for every id that a test name carries, and a test for every row."""

from docs.faults import PAGE, modules, named_modules, rows


def test_every_id_of_a_test_has_a_row_and_every_row_a_test() -> None:
    assert sorted(rows(PAGE.read_text())) == sorted(modules())


def test_each_row_names_modules_that_have_a_test_of_it() -> None:
    known, named = modules(), named_modules(PAGE.read_text())
    wrong = {name: paths for name, paths in named.items() if not paths or set(paths) - set(known[name])}
    assert wrong == {}, "write them anew: python -m docs.faults"
