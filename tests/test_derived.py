"""Values that go with those of another mapping."""

import weakref

import pytest

from regproxy.derived import Derived


def test_a_value_is_made_once_and_anew_for_another_source() -> None:
    source = {"a": [1], "b": [2]}
    made: list[str] = []

    def doubled(name: str, of: list[int]) -> list[int]:
        made.append(name)
        return of * 2

    derived = Derived(source, doubled)
    assert (derived["a"], derived["a"] is derived["a"], made) == ([1, 1], True, ["a"])
    source["a"] = [3]
    assert (derived["a"], made) == ([3, 3], ["a", "a"])
    del source["a"]
    with pytest.raises(KeyError):
        derived["a"]


def test_what_goes_with_a_value_that_is_gone_goes_too() -> None:
    source: dict[str, object] = {"named": object()}
    derived = Derived(Derived(source, lambda _, of: [of]), lambda _, of: [of])
    kept: weakref.WeakSet[_Closed] = weakref.WeakSet()
    for number in range(100):
        name = f"r{number}"
        kept.add(closed := _Closed())
        source[name] = closed
        assert derived["named"] == [[source["named"]]]
        assert derived[name] == [[closed]]
        del source[name], closed
    assert len(kept) <= 1, "the last one, until another one is made"


class _Closed:
    """What tests can tell is gone."""


def test_only_what_it_has_is_in_it() -> None:
    derived = Derived({"a": 1, "b": 2}, lambda _, of: of, lambda name: name == "a")
    assert (dict(derived), len(derived)) == ({"a": 1}, 1)
    assert ["a" in derived, "b" in derived, "c" in derived] == [True, False, False]
    with pytest.raises(KeyError):
        derived["b"]
