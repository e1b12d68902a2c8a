"""Who asks through proxies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.clients.forwarded import ClientFrom, TrustedProxies

PEER, OTHER, CLIENT = "10.0.0.2", "10.0.0.3", "203.0.113.7"
BY_LIST = TrustedProxies(["10.0.0.0/24", "fd00::/8"], ClientFrom.X_FORWARDED_FOR)
BY_NODES = TrustedProxies(["10.0.0.0/24", "fd00::/8"], ClientFrom.FORWARDED)

LISTS = [
    pytest.param([], PEER, id="nothing"),
    pytest.param([""], PEER, id="empty"),
    pytest.param([CLIENT], CLIENT, id="an address"),
    pytest.param([f" {CLIENT}:4711 "], CLIENT, id="a port"),
    pytest.param(["2001:db8::1"], "2001:db8::1", id="IPv6"),
    pytest.param(["[2001:DB8::1]:4711"], "2001:db8::1", id="IPv6 and a port"),
    pytest.param([f"::ffff:{CLIENT}"], CLIENT, id="IPv4 within IPv6"),
    pytest.param([f"1.2.3.4, {CLIENT}"], CLIENT, id="what the client said itself"),
    pytest.param([f"{CLIENT}, {OTHER}"], CLIENT, id="a second proxy"),
    pytest.param([f"1.2.3.4, {CLIENT}", OTHER], CLIENT, id="two headers"),
    pytest.param([f"{CLIENT}, 192.0.2.1, {OTHER}"], "192.0.2.1", id="a proxy that nobody trusts"),
    pytest.param([f"{OTHER}, fd00::1"], OTHER, id="proxies alone"),
    pytest.param([f"{CLIENT}, unknown, {OTHER}"], OTHER, id="a proxy that does not say"),
    pytest.param([f"{CLIENT}, fe80::1%eth0"], PEER, id="an address of a network card"),
    pytest.param([f"{CLIENT}, 1.2.3.4.5"], PEER, id="no address"),
    pytest.param([f"{CLIENT}, 1.2.3"], PEER, id="half an address"),
    pytest.param([f"{CLIENT}, '); DROP TABLE"], PEER, id="nonsense"),
    pytest.param([", ".join([CLIENT, *[OTHER] * 40])], OTHER, id="more hops than are read"),
    pytest.param(["x" * 100_000 + f", {CLIENT}"], CLIENT, id="no end of what the client said"),
]


@pytest.mark.parametrize(("values", "client"), LISTS)
def test_n19_07_the_client_is_the_last_address_that_is_no_trusted_proxy(values: list[str], client: str) -> None:
    assert BY_LIST.client(PEER, values) == client


NODES = [
    pytest.param([f"for={CLIENT}"], CLIENT, id="an address"),
    pytest.param([f'For="{CLIENT}:4711";proto=https;by=10.0.0.1'], CLIENT, id="more about it"),
    pytest.param([f"proto=http ; for={CLIENT}"], CLIENT, id="in another order"),
    pytest.param(['for="[2001:db8::1]:4711"'], "2001:db8::1", id="IPv6"),
    pytest.param([f"for=1.2.3.4, for={CLIENT};host=a, for={OTHER}"], CLIENT, id="several"),
    pytest.param([f'for={CLIENT};host="a,b;for=1.2.3.4"'], CLIENT, id="text that looks like more"),
    pytest.param(["for=_hidden"], PEER, id="a pseudonym"),
    pytest.param(["for=unknown"], PEER, id="unknown"),
    pytest.param(["proto=https"], PEER, id="no client"),
    pytest.param([f'for="{CLIENT}'], PEER, id="a quote that does not end"),
    pytest.param([f'for="x, for={CLIENT}'], CLIENT, id="a quote of the client that does not end"),
    pytest.param([f'for=1.2.3.4;x=", for="{CLIENT}:4711"'], CLIENT, id="a quote of the client that ends where the proxy's begins"),
    pytest.param(['for=1.2.3.4;x="', 'for="[2001:db8::1]"'], "2001:db8::1", id="such a quote in a header of its own"),
    pytest.param([f'for=1.2.3.4;x="\\, for="{CLIENT}:1";proto=http, for="{OTHER}:1"'], CLIENT, id="such a quote before two proxies"),
    pytest.param([f'host="x;for=1.2.3.4;y";for={CLIENT}'], CLIENT, id="a host that looks like a client"),
    pytest.param([f'for={CLIENT};host="a\\", for=1.2.3.4;\\""'], CLIENT, id="quotes within a quote"),
]


@pytest.mark.parametrize(("values", "client"), NODES)
def test_n19_07_forwarded_is_read_as_rfc_7239_has_it(values: list[str], client: str) -> None:
    assert BY_NODES.client(PEER, values) == client


pieces = st.lists(st.sampled_from(["for=1.2.3.4", '"', "\\", ",", ";", "x=", " "]), max_size=8).map("".join)
TOLD = [(BY_LIST, CLIENT), (BY_NODES, f"for={CLIENT}"), (BY_NODES, f'for="{CLIENT}:4711"'), (BY_NODES, f'host="a;b";for="{CLIENT}:1"')]


@given(st.one_of(st.text(max_size=40), pieces), st.sampled_from(TOLD))
def test_n19_07_what_a_client_says_of_itself_changes_nothing(said: str, told_by: tuple[TrustedProxies, str]) -> None:
    proxies, told = told_by
    assert proxies.client(PEER, [said, told]) == CLIENT
    assert proxies.client(PEER, [f"{said}, {told}"]) == CLIENT


@given(st.text(max_size=60), st.sampled_from([BY_LIST, BY_NODES]))
def test_n19_07_nothing_that_is_said_is_an_error(said: str, proxies: TrustedProxies) -> None:
    assert proxies.client(PEER, [said])


ADDRESSES = [(PEER, True), ("::ffff:10.0.0.2", True), ("fd00::1", True), ("10.0.1.2", False), ("", False), ("fd00::1%1", False)]


@pytest.mark.parametrize(("address", "trusted"), ADDRESSES)
def test_n19_07_a_proxy_is_known_by_where_it_asks_from(address: str, trusted: bool) -> None:
    assert BY_LIST.trusts(address) is trusted
