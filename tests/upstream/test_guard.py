"""Where an upstream may send us, by what kind of address it lives on itself."""

import pytest

from regproxy.upstream.guard import ForbiddenAddressError, Guard, GuardedResolver

PUBLIC, PRIVATE, LOOPBACK = "93.184.216.34", "10.0.0.5", "127.0.0.1"
METADATA = "169.254.169.254"

RULES = [
    pytest.param(PUBLIC, "8.8.8.8", True, id="public to public"),
    pytest.param(PUBLIC, "10.0.0.6", False, id="public to private"),
    pytest.param(PUBLIC, "100.64.0.1", False, id="public to carrier-grade NAT"),
    pytest.param(PUBLIC, "fd00::1", False, id="public to unique local"),
    pytest.param(PUBLIC, LOOPBACK, False, id="public to loopback"),
    pytest.param(PUBLIC, "::1", False, id="public to IPv6 loopback"),
    pytest.param(PUBLIC, "::ffff:127.0.0.1", False, id="public to loopback in IPv6"),
    pytest.param(PUBLIC, "2002:7f00:1::", False, id="public to loopback in 6to4"),
    pytest.param(PUBLIC, METADATA, False, id="public to metadata"),
    pytest.param(PUBLIC, "0.0.0.0", False, id="public to unspecified"),
    pytest.param(PRIVATE, "10.9.9.9", True, id="private to private"),
    pytest.param(PRIVATE, "8.8.8.8", True, id="private to public"),
    pytest.param(PRIVATE, LOOPBACK, False, id="private to loopback"),
    pytest.param(PRIVATE, METADATA, False, id="private to metadata"),
    pytest.param(LOOPBACK, "127.0.0.2", True, id="loopback to loopback"),
    pytest.param(LOOPBACK, "10.0.0.6", False, id="loopback to private"),
    pytest.param(METADATA, METADATA, False, id="link-local to itself by redirect"),
]


@pytest.mark.parametrize(("home", "target", "allowed"), RULES)
def test_s05_a_host_may_send_us_to_public_addresses_and_to_its_own_kind(home: str, target: str, *, allowed: bool) -> None:
    guard = Guard("registry.example")
    guard.settle([home])
    assert guard.allows(target) is allowed


def test_s05_with_a_public_and_a_private_address_the_public_one_counts() -> None:
    guard = Guard("registry.example")
    guard.settle([PRIVATE, PUBLIC])
    assert not guard.allows("10.0.0.6")


def test_s05_before_a_host_was_reached_only_public_addresses_are_allowed() -> None:
    assert not Guard("registry.example").allows(LOOPBACK)


def test_a_network_that_the_configuration_names_is_allowed() -> None:
    guard = Guard("registry.example", private_networks=["10.1.0.0/16"])
    guard.settle([PUBLIC])
    assert guard.allows("10.1.2.3")
    assert not guard.allows("10.2.2.3")


def test_an_address_written_as_such_is_looked_at_too() -> None:
    guard = Guard("registry.example", vouched={"10.0.0.9"})
    guard.check_literal("auth.example")
    guard.check_literal("10.0.0.9")
    with pytest.raises(ForbiddenAddressError, match=r"127\.0\.0\.1"):
        guard.check_literal(LOOPBACK)


@pytest.mark.parametrize("name", ["localhost", "2130706433", "0x7f.1", "127.1"])
async def test_s05_a_name_is_what_it_resolves_to(name: str) -> None:
    guard = Guard("registry.example")
    guard.settle([PUBLIC])
    resolver = GuardedResolver(guard)
    with pytest.raises(ForbiddenAddressError, match=name):
        await resolver.resolve(name, 80)
    await resolver.close()


async def test_the_configured_host_may_live_anywhere() -> None:
    guard = Guard("localhost")
    resolver = GuardedResolver(guard)
    assert (await resolver.resolve("localhost", 80))[0]["host"] == LOOPBACK
    assert guard.allows("127.0.0.2"), "and from then on we know where it lives"
    await resolver.close()
