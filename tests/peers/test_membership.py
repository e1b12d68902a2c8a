import logging
from collections.abc import Sequence

import pytest

from regproxy.config import Address
from regproxy.config.sections.fleet import FleetSettings
from regproxy.peers.membership import Membership
from regproxy.policy.fleet.suspicion import Suspicions
from regproxy.telemetry import metrics

KEY = "0123456789abcdef0123456789abcdef"


class Names:
    """A name server, which says what it is told to say."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: Sequence[str] | OSError = addresses

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("peers.test", 5000)
        if isinstance(self.addresses, OSError):
            raise self.addresses
        return self.addresses


def by_name(names: Names, advertise: str = "auto") -> Membership:
    settings = FleetSettings.model_validate({"peers": "dns://peers.test:5000", "key": KEY, "advertise": advertise})
    return Membership(settings, Address("0.0.0.0", 5000), is_tls=False, suspicions=Suspicions(), resolve=names)


async def test_n17_03_members_are_all_addresses_of_a_name_and_we_are_the_one_of_this_machine() -> None:
    found = by_name(Names("192.0.2.1", "127.0.0.1"))
    assert found.is_alone
    await found.refresh()
    assert sorted(found.ring.members) == ["http://127.0.0.1:5000", "http://192.0.2.1:5000"]
    assert (found.ring.us, found.authority) == ("http://127.0.0.1:5000", "127.0.0.1:5000")


async def test_n17_03_a_member_with_addresses_of_both_families_or_several_of_one_is_one_member() -> None:
    both = by_name(Names("2001:db8::1", "192.0.2.1", "127.0.0.1", "127.0.0.2", "::1"))
    await both.refresh()
    assert sorted(both.ring.members) == ["http://127.0.0.1:5000", "http://192.0.2.1:5000"]
    newer = by_name(Names("2001:db8::1", "::1"))
    await newer.refresh()
    assert sorted(newer.ring.members) == ["http://[2001:db8::1]:5000", "http://[::1]:5000"]
    assert newer.ring.us == "http://[::1]:5000"


async def test_n17_03_a_name_server_that_says_nothing_or_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    names = Names("192.0.2.1", "192.0.2.2")
    found = by_name(names, "http://192.0.2.1:5000")
    await found.refresh()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for silence in ((), OSError("no such host"), ()):
            names.addresses = silence
            await found.refresh()
            assert len(found.ring) == 2
            assert found.trouble == ("no such host" if isinstance(silence, OSError) else "the name has no address")
    assert [each.message for each in caplog.records] == ["cannot look up members of the fleet: those known before stay"]


async def test_n17_03_who_is_not_named_is_a_member_in_its_own_view() -> None:
    """A Pod that is not ready yet has no address in the DNS."""
    found = by_name(Names("192.0.2.1"), "http://192.0.2.9:5000")
    await found.refresh()
    assert sorted(found.ring.members) == ["http://192.0.2.1:5000", "http://192.0.2.9:5000"]
    unnamed = by_name(Names("192.0.2.1"))
    await unnamed.refresh()
    assert len(unnamed.ring) == 2


def listed(urls: Sequence[str], names: Names, listen: Address = Address("0.0.0.0", 5000)) -> Membership:  # noqa: B008
    settings = FleetSettings.model_validate({"peers": urls, "key": KEY})
    return Membership(settings, listen, is_tls=False, suspicions=Suspicions(), resolve=names)


async def test_n17_03_a_list_is_what_it_says_and_port_and_address_tell_which_we_are() -> None:
    urls = ["http://127.0.0.1:5001", "http://127.0.0.1:5000", "https://cache.test"]
    found = listed(urls, Names())
    await found.refresh()
    await found.run()
    assert sorted(found.ring.members) == sorted(urls)
    assert found.ring.us == "http://127.0.0.1:5000"


async def test_n17_03_who_is_listed_by_name_is_found_by_the_addresses_of_the_name(caplog: pytest.LogCaptureFixture) -> None:
    urls = ["http://192.0.2.1:5000", "http://peers.test:5000"]
    names = Names("127.0.0.1")
    names.addresses = OSError("no such host")
    found = listed(urls, names)
    for _ in range(2):
        await found.refresh()
        assert found.is_alone, "nobody is asked by whom we might be asked by a name that we do not know"
    assert [each.message for each in caplog.records] == ["cannot tell which listed member of the fleet this is: it fetches for itself"]
    names.addresses = ("127.0.0.1",)
    await found.refresh()
    assert (found.ring.us, len(found.ring)) == ("http://peers.test:5000", 2)


async def test_n17_03_who_listens_at_one_address_is_no_other_member_of_the_same_machine() -> None:
    urls = ["http://127.0.0.1:5000", "http://127.0.0.2:5000"]
    found = listed(urls, Names(), Address("127.0.0.2", 5000))
    await found.refresh()
    assert (found.ring.us, len(found.ring)) == (urls[1], 2)


async def test_n17_03_who_is_alone_is_counted() -> None:
    found = by_name(Names("127.0.0.1"))
    await found.refresh()
    assert found.is_alone
    assert b"\nregproxy_fleet_members 1.0\n" in metrics.exposition()[0]
