"""Who may be sent to an object store: only for what upstream gives to anybody, unless it is said otherwise."""

from collections.abc import Iterator

import pytest

from regproxy.asker import Asker, asker
from regproxy.behind.redirects import is_public
from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.routing import Host, Upstream
from regproxy.policy.upstream.transport import Tls

BODY = b"a blob"
URL = "https://registry.test"
CREDENTIAL = Credential("user", Secret("password"))


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    before = asker.set(None)
    yield
    asker.reset(before)


@pytest.mark.parametrize(
    ("host", "access", "who", "expected"),
    [
        (Host(URL), AccessMode.SHARED, None, True),
        (Host(URL, credential=CREDENTIAL), AccessMode.SHARED, None, False),
        (Host(URL, headers=(("X-Token", Secret("token")),)), AccessMode.SHARED, None, False),
        (Host(URL, tls=Tls(certificate="/c.pem", key="/k.pem")), AccessMode.SHARED, None, False),
        (Host(URL, tls=Tls(ca="/ca.pem")), AccessMode.SHARED, None, True),
        (Host(URL), AccessMode.NONE, None, False),
        (Host(URL), AccessMode.PROVEN, None, False),
        (Host(URL), AccessMode.PROVEN, Asker(), True),
        (Host(URL), AccessMode.PROVEN, Asker(CREDENTIAL), False),
    ],
)
def test_n17_04_what_upstream_gives_for_a_credential_or_to_some_is_private(
    host: Host, access: AccessMode, who: Asker | None, expected: bool
) -> None:
    asker.set(who)
    assert is_public(Upstream("docker.io", (host,), access=access)) is expected
