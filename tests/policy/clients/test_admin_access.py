"""Who may ask the admin port: no page of anybody else, by whatever name it calls us."""

from dataclasses import replace

import pytest

from regproxy.policy.clients.admin_access import AdminAccess, AdminRequest
from regproxy.policy.clients.admin_roles import AdminToken, AdminTokens, Holder, Need, Role
from regproxy.policy.credential import Secret

LOOPBACK = AdminAccess(names=frozenset({"regproxy.example"}))
EVERYWHERE = replace(LOOPBACK, addresses=("0.0.0.0", "::"))
ONE = replace(LOOPBACK, addresses=("10.0.0.5",))


def status(access: AdminAccess, request: AdminRequest) -> int | None:
    refusal = access.refusal(request)
    return None if refusal is None else refusal.status


def asked(*hosts: str, target: str = "/api/v1/freezes", **more: object) -> AdminRequest:
    return replace(AdminRequest(target, hosts), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:5001",
        "127.9.9.9",
        "localhost",
        "LocalHost:5001",
        "localhost.",
        "[::1]:5001",
        "[::ffff:127.0.0.1]",
        "localhost:",
        "regproxy.example",
        "Regproxy.Example.:80",
    ],
)
def test_n12_05_addresses_localhost_and_configured_names_are_taken(host: str) -> None:
    assert status(LOOPBACK, asked(host)) is None
    assert status(EVERYWHERE, asked(host)) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5001",
        "localhost.evil.example",
        "evil.localhost",
        "127.0.0.1.evil.example",
        "localhost..",
        "2130706433",
        "0x7f.1",
        "127.1",
        "regproxy",
        "regproxy.example.evil.example",
        "xn--80ak6aa92e.com",
    ],
)
def test_n12_05_any_other_name_is_refused_and_the_setting_told(host: str) -> None:
    for access in (LOOPBACK, EVERYWHERE, ONE):
        refusal = access.refusal(asked(host))
        assert refusal is not None
        assert (refusal.status, "admin_hosts" in refusal.reason) == (403, True)


@pytest.mark.parametrize("host", ["10.1.2.3:5001", "[fd00::7]:5001", "192.0.2.7", "[fe80::1%25eth0]:5001", "0.0.0.0:5001"])
def test_n12_05_a_port_on_all_interfaces_may_be_called_by_any_address(host: str) -> None:
    """A Pod's, a Service's, that of a port which is passed on: nobody but its owner can have a page there."""
    assert status(EVERYWHERE, asked(host)) is None
    assert status(LOOPBACK, asked(host)) == 403
    assert status(ONE, asked(host)) == 403
    assert status(ONE, asked("10.0.0.5:5001")) is None
    assert status(replace(ONE, names=frozenset({"192.0.2.7"})), asked("192.0.2.7")) is None


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        ("localhost", "localhost"),
        ("localhost", "evil.example"),
        ("",),
        ("::1",),
        ("[::1",),
        ("a b",),
        ("localhost:x",),
        ("user@localhost",),
        ("[zz]",),
        ("[1:2]",),
        ("localhost/evil.example",),
        ("localhost,evil.example",),
    ],
)
def test_n12_05_a_host_that_is_missing_doubled_or_none_is_refused(hosts: tuple[str, ...]) -> None:
    assert status(EVERYWHERE, asked(*hosts)) == 400


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://localhost:5001/metrics", None),
        ("http://evil.example/metrics", 403),
        ("http://localhost@evil.example/metrics", 400),
        ("http://[", 400),
        ("evil.example:443", 400),
        ("*", None),
    ],
)
def test_n12_05_an_absolute_target_names_a_server_too(target: str, expected: int | None) -> None:
    assert status(LOOPBACK, asked("localhost", target=target)) == expected


@pytest.mark.parametrize(
    ("origin", "is_own"),
    [
        ("http://localhost:5001", True),
        ("https://localhost:5001", True),  # somebody before us ends TLS
        ("http://localhost:3000", False),
        ("http://localhost", False),
        ("http://evil.example", False),
        ("http://evil.example:5001", False),
        ("http://127.0.0.1:5001", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("chrome-extension://abcdef", False),
        ("http://localhost:5001.evil.example", False),
        ("http://localhost:5001@evil.example", False),
    ],
)
def test_n12_05_only_our_own_page_may_ask(origin: str, *, is_own: bool) -> None:
    assert status(LOOPBACK, asked("localhost:5001", origins=(origin,))) == (None if is_own else 403)
    assert status(LOOPBACK, asked("localhost:5001", origins=("http://localhost:5001", origin))) == (None if is_own else 403)


def test_n12_05_default_ports_are_the_same_port() -> None:
    assert status(LOOPBACK, asked("regproxy.example", origins=("https://regproxy.example",))) is None
    assert status(LOOPBACK, asked("regproxy.example:443", origins=("https://regproxy.example",))) is None
    assert status(LOOPBACK, asked("regproxy.example:444", origins=("https://regproxy.example",))) == 403


def test_n12_05_a_page_without_tls_is_not_that_of_a_port_with_it() -> None:
    assert status(replace(LOOPBACK, is_tls=True), asked("localhost:5001", origins=("http://localhost:5001",))) == 403


@pytest.mark.parametrize(
    ("site", "is_navigation", "is_change", "expected"),
    [
        ("cross-site", False, False, 403),
        ("cross-site", True, False, 403),
        ("same-site", False, False, 403),
        ("same-site", True, False, None),
        ("same-site", True, True, 403),
        ("same-origin", False, True, None),
        ("none", True, False, None),
    ],
)
def test_n12_05_what_another_page_sends_is_refused(site: str, expected: int | None, *, is_navigation: bool, is_change: bool) -> None:
    request = asked("localhost", fetch_sites=(site,), is_navigation=is_navigation, need=Need.CHANGES if is_change else Need.READS)
    assert status(LOOPBACK, request) == expected


@pytest.mark.parametrize("sites", [("none", "cross-site"), ("same-origin", "same-site"), ("Cross-Site",), ("none, cross-site",)])
def test_n12_05_of_several_fetch_sites_the_worst_counts_in_any_case(sites: tuple[str, ...]) -> None:
    assert status(LOOPBACK, asked("localhost", fetch_sites=sites)) == 403


@pytest.mark.parametrize(
    ("peer", "local", "is_forwarded", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", False, None),
        ("::1", "::1", False, None),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", False, None),
        ("10.0.0.9", "10.0.0.5", False, 403),
        ("10.0.0.5", "10.0.0.5", False, 403),
        ("127.0.0.6", "10.0.0.5", False, 403),  # Istio's sidecar passes on what comes from anywhere
        ("127.0.0.1", "127.0.0.1", True, 403),
        ("fe80::1%eth0", "fe80::2%eth0", False, 403),
        ("", "", False, 403),
    ],
)
def test_n13_05_beyond_loopback_nothing_is_read_or_changed_without_a_token(
    peer: str, local: str, expected: int | None, *, is_forwarded: bool
) -> None:
    request = asked("10.0.0.5:5001", peer=peer, local=local, is_forwarded=is_forwarded)
    change = replace(request, need=Need.CHANGES)
    for each in (request, change):
        assert status(EVERYWHERE, each) == expected
        assert status(EVERYWHERE, replace(each, role=Role.OPERATE)) is None
        assert status(replace(EVERYWHERE, open=frozenset({Need.CHANGES})), each) is None
    assert status(EVERYWHERE, replace(change, role=Role.READ)) == expected
    assert status(EVERYWHERE, replace(request, role=Role.READ)) is None
    for need in (Need.PAGE, Need.HEALTH, Need.METRICS):
        assert status(EVERYWHERE, replace(request, need=need)) is None


OUTSIDE = asked("10.0.0.5:5001", peer="10.0.0.9", local="10.0.0.5")
TOKENS = AdminTokens(
    [AdminToken(Holder("grafana", Role.READ), Secret("canary-read")), AdminToken(Holder("ops", Role.OPERATE), Secret("o"))]
)


def test_what_is_not_open_wants_a_token_where_there_are_tokens() -> None:
    closed = replace(EVERYWHERE, open=frozenset(), tokens=TOKENS)
    for need in (Need.HEALTH, Need.METRICS, Need.READS, Need.CHANGES):
        refusal = closed.refusal(replace(OUTSIDE, need=need))
        assert refusal is not None
        assert (refusal.status, "REGPROXY_ADMIN_TOKEN" in refusal.reason) == (401, True)
    assert closed.refusal(replace(OUTSIDE, need=Need.PAGE)) is None


def test_what_is_open_to_read_is_not_open_to_change() -> None:
    reads = replace(EVERYWHERE, open=frozenset({Need.READS}))
    assert status(reads, OUTSIDE) is None
    assert status(reads, replace(OUTSIDE, need=Need.CHANGES)) == 403


def test_a_token_that_is_nobodys_is_told_from_none() -> None:
    access = replace(EVERYWHERE, tokens=TOKENS)
    refusal = access.refusal(replace(OUTSIDE, has_unknown_token=True))
    assert refusal is not None
    assert (refusal.status, "none of admin_tokens" in refusal.reason) == (401, True)
    assert access.refusal(replace(OUTSIDE, has_unknown_token=True, need=Need.HEALTH)) is None


def test_a_token_is_found_whole_and_not_shown() -> None:
    assert TOKENS.holder("canary-read") == Holder("grafana", Role.READ)
    assert [TOKENS.holder(each) for each in ("", "canary-rea", "canary-read ", "\udcff")] == [None] * 4
    assert bool(TOKENS)
    assert not AdminTokens()
    assert "canary" not in repr(AdminToken(Holder("a", Role.READ), Secret("canary-read")))
