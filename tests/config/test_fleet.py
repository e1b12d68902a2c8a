"""What a fleet may look like in the configuration, and what is said where it cannot work."""

from pathlib import Path

import pytest

from tests.config.loaded import mistakes, settings

KEY = "0123456789abcdef0123456789abcdef"
LISTEN = "listen: 10.0.0.1:5000"
LIST = "http://10.0.0.1:5000, http://10.0.0.2:5000"


def configured(fleet: str, others: str = LISTEN) -> str:
    key = "" if "key:" in fleet else f", key: {KEY}"
    return f"{others}\nfleet: {{{fleet}{key}}}"


@pytest.mark.parametrize(
    ("fleet", "told"),
    [
        ("peers: []", "fleet.peers: is neither dns://name:port nor a list of URLs of members, such as http://10.0.0.1:5000"),
        ("peers: ''", "fleet.peers: '' is neither dns://name:port nor a list of URLs"),
        ("peers: [10.0.0.1]", "fleet.peers: has '10.0.0.1', which is not the URL of a member such as http://10.0.0.1:5000"),
        ("peers: ['http://10.0.0.1:5000/x']", "fleet.peers: has 'http://10.0.0.1:5000/x', which is not"),
        ("peers: ['http://10.0.0.1:0']", "fleet.peers: has 'http://10.0.0.1:0', which is not"),
        ("peers: ['http://u:canary@10.0.0.1:5000']", "fleet.peers: has a URL with a password, which is not"),
        (f"peers: '{LIST}, http://10.0.0.2:5000'", "has http://10.0.0.2:5000 twice"),
        (
            "peers: ['http://10.0.0.1:5001']",
            "fleet.peers: has no member at the port of listen (5000): say by fleet.advertise which",
        ),
        ("peers: ['http://10.0.0.1', 'https://10.0.0.1']", "has no member at the port of listen (5000)"),
        ("peers: 'dns://peers.test:5001'", "has no member at the port of listen (5000)"),
        (f"peers: '{LIST}', advertise: 'http://10.0.0.3:5000'", "'http://10.0.0.3:5000' is none of fleet.peers"),
        (f"peers: '{LIST}', advertise: me", "fleet.advertise: 'me' is neither auto nor the URL of a member, such as http://10.0.0.1:5000"),
        ("peers: 'dns://peers.test'", "must be dns:// with the name of a headless Service and a port"),
        ("peers: 'dns://a b:5000'", "must be dns:// with"),
        ("peers: 'dns://u@peers.test:5000'", "must be dns:// with"),
        ("peers: 'dns://peers.test:5000/x'", "must be dns:// with"),
        ("peers: 'dns://peers.test:0'", "must be dns:// with"),
        ("peers: 'dns://10.0.0.1:5000'", "is one address, and no name of all members: list their URLs instead"),
        ("peers: 'dns://[::1]:5000'", "is one address, and no name of all members"),
        (f"peers: '{LIST}', zone: 'eu central'", "fleet.zone: 'eu central' is not the name of a zone, such as eu-central-1a"),
        (f"peers: '{LIST}', timeout: 5m", "fleet.timeout: '5m' must be at most 1m"),
        (f"peers: '{LIST}', key: '{KEY},{KEY}'", "fleet.key: is the same key twice"),
        (f"peers: '{LIST}', key: short", "fleet.key: is no key"),
        (f"peers: '{LIST}', ca: /nowhere.pem", "fleet.ca: '/nowhere.pem' is for members that speak https, and these do not: see tls"),
        ("peers: ['https://10.0.0.1:5000'], ca: /nowhere.pem", "fleet.ca: '/nowhere.pem' cannot be used: No such file or directory"),
    ],
)
def test_n17_03_a_mistake_about_the_fleet_is_one_line_without_a_secret(file: Path, fleet: str, told: str) -> None:
    (line,) = mistakes(file, configured(fleet))
    assert told in line
    assert "canary" not in line
    assert KEY not in line


@pytest.mark.parametrize(
    ("fleet", "peers"),
    [
        ("peers: 'dns://Peers.test:5000/'", "dns://peers.test:5000"),
        ("peers: 'dns://peers.test:5443', advertise: 'http://10.0.0.1:5443'", "dns://peers.test:5443"),
        (f"peers: '{LIST}'", ("http://10.0.0.1:5000", "http://10.0.0.2:5000")),
        ("peers: ['HTTP://cache-1:5000/', 'http://[::1]:5000']", ("http://cache-1:5000", "http://[::1]:5000")),
        ("peers: ['http://10.0.0.9'], advertise: 'http://10.0.0.9'", ("http://10.0.0.9",)),
    ],
)
def test_n17_03_a_fleet_is_a_name_or_a_list(file: Path, fleet: str, peers: object) -> None:
    found = settings(file, configured(fleet)).fleet
    assert found is not None
    assert found.peers == peers


def test_n17_03_the_port_of_a_member_may_be_that_of_its_scheme(file: Path) -> None:
    found = settings(file, configured("peers: ['http://10.0.0.1', 'http://10.0.0.2']", "listen: 10.0.0.1:80"))
    assert found.fleet is not None


CREDENTIALS = "credentials: {username: bob, password: canary}"


@pytest.mark.parametrize(
    ("peers", "upstream", "is_exposed"),
    [
        (LIST, CREDENTIALS, True),
        (LIST, "hosts: [{url: 'https://quay.io', headers: {Private-Token: canary}}]", True),
        ("dns://peers.test:5000", CREDENTIALS, True),
        (LIST, f"{CREDENTIALS}, access: proven", False),
        (LIST, "deny: [x]", False),
        (LIST.replace("http:", "https:"), CREDENTIALS, False),
        (None, CREDENTIALS, False),
    ],
)
def test_n17_23_what_credentials_open_and_members_would_exchange_in_clear_text_is_named(
    file: Path, peers: str | None, upstream: str, is_exposed: bool
) -> None:
    others = f"{LISTEN}\ninsecure_credentials: true\nupstreams: {{quay.io: {{{upstream}}}}}"
    text = others if peers is None else configured(f"peers: '{peers}'", others)
    assert settings(file, text).exposed() == (["quay.io"] if is_exposed else [])
