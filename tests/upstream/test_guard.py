"""Where an upstream may send us, by what kind of address it lives on itself."""

from ipaddress import ip_address

import pytest

from regproxy.upstream.guard import AddressClass, ForbiddenAddressError, Guard, GuardedResolver, MisplacedHostError, address_class

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
    guard.settle(home)
    assert guard.allows(target) is allowed


def test_s05_with_a_public_and_a_private_address_the_public_one_counts() -> None:
    """Whatever comes later: a name that means another address each time may not move our guard inside."""
    for order in ([PRIVATE, PUBLIC], [PUBLIC, PRIVATE]):
        guard = Guard("registry.example")
        for address in order:
            guard.settle(address)
        assert not guard.allows("10.0.0.6")


def test_s05_before_a_host_was_reached_only_public_addresses_are_allowed() -> None:
    assert not Guard("registry.example").allows(LOOPBACK)


def test_a_network_that_the_configuration_names_is_allowed() -> None:
    guard = Guard("registry.example", private_networks=["10.1.0.0/16"])
    guard.settle(PUBLIC)
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
    guard.settle(PUBLIC)
    resolver = GuardedResolver(guard)
    with pytest.raises(ForbiddenAddressError, match=name):
        await resolver.resolve(name, 80)
    await resolver.close()


async def test_an_internal_name_may_live_anywhere() -> None:
    guard = Guard("localhost")
    resolver = GuardedResolver(guard)
    assert (await resolver.resolve("localhost", 80))[0]["host"] == LOOPBACK
    assert not guard.allows("127.0.0.2"), "a name server tells nothing of where the host is"
    guard.settle(LOOPBACK)
    assert guard.allows("127.0.0.2"), "an answer from there does"
    await resolver.close()


NAT64, LOCAL_NAT64, SIXTOFOUR, TEREDO = "64:ff9b::{}", "64:ff9b:1:2:3:4:{}", "2002:{}::1", "2001:0:5db8:d822:8000:63bf:{}"
INSIDE = [
    pytest.param(NAT64.format("7f00:1"), AddressClass.LOOPBACK, id="NAT64 to loopback"),
    pytest.param(NAT64.format("a00:5"), AddressClass.PRIVATE, id="NAT64 to a private network"),
    pytest.param(NAT64.format("a9fe:a9fe"), AddressClass.METADATA, id="NAT64 to metadata"),
    pytest.param(NAT64.format("6464:64c8"), AddressClass.METADATA, id="NAT64 to Aliyun's metadata"),
    pytest.param(NAT64.format("5db8:d822"), AddressClass.PUBLIC, id="NAT64 to a public address, as DNS64 gives for every registry"),
    pytest.param(LOCAL_NAT64.format("7f00:1"), AddressClass.LOOPBACK, id="local NAT64 of 96 bits to loopback"),
    pytest.param(LOCAL_NAT64.format("a9fe:a9fe"), AddressClass.METADATA, id="local NAT64 of 96 bits to metadata"),
    pytest.param("64:ff9b:1:a9fe:a9:fe00::", AddressClass.METADATA, id="local NAT64 of 48 bits to metadata"),
    pytest.param("64:ff9b:1:a:0:5::", AddressClass.PRIVATE, id="local NAT64 of 56 bits to a private network"),
    pytest.param("64:ff9b:1::5db8:d822", AddressClass.PUBLIC, id="local NAT64 to a public address"),
    pytest.param(SIXTOFOUR.format("a9fe:a9fe"), AddressClass.METADATA, id="6to4 to metadata"),
    pytest.param(SIXTOFOUR.format("c0a8:1"), AddressClass.PRIVATE, id="6to4 to a private network"),
    pytest.param(TEREDO.format("5601:5601"), AddressClass.METADATA, id="Teredo to metadata"),
    pytest.param(TEREDO.format("80ff:fffe"), AddressClass.LOOPBACK, id="Teredo to loopback"),
    pytest.param("2001:0:7f00:1:8000:63bf:a247:27dd", AddressClass.LOOPBACK, id="Teredo by a server on loopback"),
    pytest.param(TEREDO.format("a247:27dd"), AddressClass.PRIVATE, id="Teredo to a public address: nobody needs it"),
    pytest.param("::ffff:169.254.169.254", AddressClass.METADATA, id="mapped metadata"),
    pytest.param("::ffff:10.0.0.1", AddressClass.PRIVATE, id="mapped private"),
    pytest.param("::127.0.0.1", AddressClass.LOOPBACK, id="compatible loopback"),
    pytest.param("::ffff:0:a00:1", AddressClass.PRIVATE, id="translated private"),
    pytest.param("2a00:1450::5efe:7f00:1", AddressClass.LOOPBACK, id="ISATAP to loopback"),
    pytest.param("fec0::1", AddressClass.PRIVATE, id="site-local"),
    pytest.param("0.1.2.3", AddressClass.FORBIDDEN, id="this network"),
    pytest.param("2a00:1450:4001::1", AddressClass.PUBLIC, id="IPv6"),
]


@pytest.mark.parametrize(("address", "kind"), INSIDE)
def test_n12_09_an_address_is_no_more_public_than_the_one_inside_it(address: str, kind: AddressClass) -> None:
    assert address_class(ip_address(address)) is kind


SERVICES = [
    *("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
    *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fe80::a9fe:a9fe"),
]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("home", [PUBLIC, PRIVATE, "100.64.0.1", "fd00:1::1"])
def test_n12_09_a_metadata_service_is_never_asked_whoever_says_so(service: str, home: str) -> None:
    guard = Guard("registry.example", {"auth.example"}, ["0.0.0.0/0", "::/0"], "proxy.example", is_verified=True)
    guard.settle(home)
    assert not guard.allows(service)
    for name in ("registry.example", "auth.example", "proxy.example"):
        assert not guard.allows_named(name, service)
    itself = Guard(service, private_networks=["0.0.0.0/0", "::/0"])
    with pytest.raises(MisplacedHostError, match="may not have"):
        itself.check_literal(service)


HUB, CORP, INTERNAL, SINGLE = "registry-1.docker.io", "harbor.corp.com", "harbor.corp.internal", "registry"
NAMED = [
    pytest.param(HUB, True, PUBLIC, True, id="a public name, public"),
    pytest.param(HUB, True, LOOPBACK, False, id="a public name on loopback, by https"),
    pytest.param(HUB, False, LOOPBACK, False, id="a public name on loopback"),
    pytest.param(CORP, True, "10.0.0.5", True, id="split DNS or a private link, by https"),
    pytest.param(CORP, True, "100.100.80.1", True, id="a cloud's own network, by https"),
    pytest.param(CORP, False, "10.0.0.5", False, id="split DNS, by http or unverified"),
    pytest.param(CORP, False, "64:ff9b::a00:5", False, id="split DNS behind NAT64, by http"),
    pytest.param(INTERNAL, False, "10.0.0.5", True, id="an internal name"),
    pytest.param("harbor.home.arpa", False, "192.168.1.5", True, id="a name at home"),
    pytest.param(SINGLE, False, "172.18.0.2", True, id="a name of a container"),
    pytest.param(SINGLE, False, LOOPBACK, True, id="a name of this machine"),
    pytest.param(INTERNAL, True, METADATA, False, id="an internal name that means metadata"),
    pytest.param(INTERNAL, True, "224.0.0.1", False, id="an internal name that means a group"),
]


@pytest.mark.parametrize(("name", "is_verified", "address", "allowed"), NAMED)
def test_n12_09_a_configured_name_has_only_addresses_that_such_a_name_may_have(
    name: str, address: str, *, is_verified: bool, allowed: bool
) -> None:
    for guard in (Guard(name, is_verified=is_verified), Guard("x.example", {name}, is_verified=is_verified)):
        assert guard.allows_named(name, address) is allowed
        if not allowed:
            with pytest.raises(MisplacedHostError, match="private_networks"):
                guard.admitted(name, [address])


@pytest.mark.parametrize("address", ["10.0.0.5", LOOPBACK])
def test_n12_09_private_networks_are_for_configured_names_too(address: str) -> None:
    assert Guard(CORP, private_networks=["10.0.0.0/8", "127.0.0.0/8"]).admitted(CORP, [address]) == {address}


@pytest.mark.parametrize("address", ["10.0.0.5", LOOPBACK])
def test_n12_09_a_proxy_may_be_anywhere_but_at_a_metadata_service(address: str) -> None:
    assert Guard(HUB, proxy="proxy.corp.com").admitted("proxy.corp.com", [address]) == {address}


def test_n12_09_of_several_addresses_those_that_may_be_used_are() -> None:
    assert Guard(HUB, is_verified=True).admitted(HUB, [METADATA, PUBLIC, LOOPBACK]) == {PUBLIC}


@pytest.mark.parametrize("name", ["2130706433", "127.1", "0177.0.0.1", "127.0.0.1.", "1.2.3.4.5"])
def test_n12_09_a_number_that_the_system_may_read_as_an_address_is_none(name: str) -> None:
    guard = Guard("registry.example")
    guard.settle(LOOPBACK)
    with pytest.raises(ForbiddenAddressError, match="no address"):
        guard.check_literal(name)


def test_n19_01_a_metadata_service_that_is_the_host_itself_may_be_where_it_is_and_sends_us_nowhere() -> None:
    guard = Guard(METADATA, metadata=[METADATA])
    guard.check_literal(METADATA)
    guard.settle(METADATA)
    for other in ("169.254.170.2", "100.100.100.200", LOOPBACK, PRIVATE):
        with pytest.raises(OSError, match="may not"):
            guard.check_literal(other)
    named = Guard("metadata.google.internal", vouched=["other.internal"], metadata=[METADATA])
    assert named.admitted("metadata.google.internal", [METADATA]) == {METADATA}
    for name, address in (("other.internal", METADATA), ("metadata.google.internal", "169.254.170.2")):
        with pytest.raises(MisplacedHostError):
            named.admitted(name, [address])


@pytest.mark.parametrize(("name", "is_verified", "address", "allowed"), NAMED)
def test_n19_02_a_name_of_a_pattern_has_public_addresses_alone(name: str, address: str, *, is_verified: bool, allowed: bool) -> None:
    """A client chose it: that it is internal, or that TLS verifies it, opens nothing."""
    guard = Guard(name, is_verified=is_verified, is_of_pattern=True)
    if address == PUBLIC:
        assert allowed
        assert guard.admitted(name, [address]) == {address}
        return
    with pytest.raises(MisplacedHostError, match="private_networks"):
        guard.admitted(name, [address])


@pytest.mark.parametrize(("address", "kind"), INSIDE)
def test_n19_02_what_is_not_public_is_reached_by_no_pattern_however_it_is_written(address: str, kind: AddressClass) -> None:
    guard = Guard("a.registry.example", is_verified=True, is_of_pattern=True)
    assert guard.allows(address) is (kind is AddressClass.PUBLIC)


@pytest.mark.parametrize(("home", "target", "allowed"), RULES)
def test_n19_02_where_a_registry_of_a_pattern_lives_opens_nothing(home: str, target: str, *, allowed: bool) -> None:
    guard = Guard("a.registry.example", is_of_pattern=True)
    guard.settle(home)
    is_public = address_class(ip_address(target)) is AddressClass.PUBLIC
    assert guard.allows(target) is is_public
    assert allowed or not is_public


def test_n19_02_a_pattern_reaches_the_private_networks_that_it_names() -> None:
    guard = Guard("a.registry.example", {"auth.corp.internal"}, ["10.1.0.0/16"], is_of_pattern=True)
    assert guard.admitted("a.registry.example", ["10.1.2.3", "10.2.2.3"]) == {"10.1.2.3"}
    guard.settle("10.1.2.3")
    assert guard.allows("10.1.9.9")
    assert not guard.allows("10.2.2.3")
    assert guard.admitted("auth.corp.internal", ["10.2.2.3"]) == {"10.2.2.3"}, "the configuration has that name"


@pytest.mark.parametrize("service", SERVICES)
def test_n19_02_no_pattern_reaches_a_metadata_service(service: str) -> None:
    guard = Guard("a.registry.example", private_networks=["0.0.0.0/0", "::/0"], is_verified=True, is_of_pattern=True)
    with pytest.raises(MisplacedHostError):
        guard.admitted("a.registry.example", [service])


async def test_n19_02_a_name_of_a_pattern_is_what_it_resolves_to() -> None:
    resolver = GuardedResolver(Guard("localhost", is_of_pattern=True))
    with pytest.raises(MisplacedHostError, match="localhost"):
        await resolver.resolve("localhost", 80)
    await resolver.close()
