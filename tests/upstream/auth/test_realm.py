"""Which token services may be asked on behalf of a registry (CVE-2026-33540)."""

import pytest
from yarl import URL

from regproxy.upstream.auth.realm import is_allowed_realm

HUB = "https://registry-1.docker.io"

RULES = [
    pytest.param(HUB, "https://auth.docker.io/token", (), True, id="Docker Hub: same registrable domain"),
    pytest.param("https://registry.cn-beijing.aliyuncs.com", "https://dockerauth.cn-hangzhou.aliyuncs.com/auth", (), True, id="Aliyun"),
    pytest.param("https://quay.io", "https://quay.io/v2/auth", (), True, id="same origin"),
    pytest.param(HUB, "https://auth.docker.io.evil.example/token", (), False, id="a longer name"),
    pytest.param(HUB, "https://evildocker.io/token", (), False, id="a name that ends alike"),
    pytest.param(HUB, "http://auth.docker.io/token", (), False, id="no TLS under TLS"),
    pytest.param(HUB, "http://auth.docker.io/token", ("auth.docker.io",), False, id="no TLS under TLS, though listed"),
    pytest.param(HUB, "https://auth.example.com/token", ("auth.example.com",), True, id="listed"),
    pytest.param(HUB, "https://auth.example.com:8443/token", ("auth.example.com",), False, id="listed without its port"),
    pytest.param(HUB, "https://auth.example.com:8443/token", ("auth.example.com:8443",), True, id="listed with its port"),
    pytest.param(HUB, "https://user:pw@auth.docker.io/token", (), False, id="userinfo"),
    pytest.param(HUB, "ftp://auth.docker.io/token", (), False, id="ftp"),
    pytest.param("https://a.github.io", "https://b.github.io/token", (), False, id="neighbours on a public suffix"),
    pytest.param("https://a.co.uk", "https://b.co.uk/token", (), False, id="neighbours on co.uk"),
    pytest.param("http://10.0.0.5:5000", "http://10.0.0.5:5001/token", (), False, id="an address has no domain"),
    pytest.param("http://localhost:5000", "http://localhost:5001/token", (), False, id="localhost has none either"),
]


@pytest.mark.parametrize(("registry", "realm", "listed", "allowed"), RULES)
def test_s01_a_realm_shares_origin_or_registrable_domain_or_is_listed(
    registry: str, realm: str, listed: tuple[str, ...], *, allowed: bool
) -> None:
    assert is_allowed_realm(URL(realm), URL(registry), listed) is allowed
