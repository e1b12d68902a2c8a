"""What a cache of bytes promises."""

from regproxy.sized_cache import SizedCache


def test_n12_14_the_longest_unused_goes_when_there_is_no_room() -> None:
    cache: SizedCache[str, int] = SizedCache(10)
    for number, name in enumerate("abc"):
        cache.put(name, number, 4)
        cache.get("a")
    assert [cache.get(name) for name in "abc"] == [0, None, 2]
    assert (cache.bytes, len(cache)) == (8, 2)


def test_n12_14_what_is_put_again_counts_once_and_what_is_too_large_is_not_kept() -> None:
    cache: SizedCache[str, int] = SizedCache(10)
    cache.put("a", 1, 8)
    cache.put("a", 2, 6)
    assert (cache.get("a"), cache.bytes) == (2, 6)
    cache.put("a", 3, 11)
    assert (cache.get("a"), cache.bytes, len(cache)) == (None, 0, 0)
