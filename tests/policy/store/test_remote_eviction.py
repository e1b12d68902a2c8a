"""What goes first when an object store is full."""

from regproxy.oci.digest import Digest
from regproxy.policy.store.remote_eviction import RemoteObject, choose

OLD, OLDER, LARGE, NEW = (Digest.of(name.encode()) for name in ("old", "older", "large", "new"))
FOUND = {OLD: RemoteObject(100, 20.0), OLDER: RemoteObject(100, 10.0), LARGE: RemoteObject(300, 20.0), NEW: RemoteObject(100, 30.0)}


def test_n17_04_what_nobody_used_longest_goes_first_and_the_larger_of_two() -> None:
    assert choose(FOUND, 600, ()) == []
    assert choose(FOUND, 599, ()) == [OLDER]
    assert choose(FOUND, 400, ()) == [OLDER, LARGE]
    assert choose(FOUND, 1, ()) == [OLDER, LARGE, OLD, NEW]


def test_n17_04_what_is_kept_stays_whatever_goes() -> None:
    assert choose(FOUND, 1, {OLDER, NEW}) == [LARGE, OLD]
    assert choose(FOUND, 1, FOUND) == []
