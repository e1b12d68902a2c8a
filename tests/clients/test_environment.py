"""The registry behind the proxy is as strict as it should be: otherwise the other tests would prove little."""

from .content import DOCKER_MANIFEST
from .fetch import Answer, ask
from .images import Images
from .registry import Registry
from .tokens import USERNAME, TokenService


def manifest(registry: Registry, repository: str, token: str | None = None) -> Answer:
    headers = {"Accept": DOCKER_MANIFEST} | ({"Authorization": f"Bearer {token}"} if token else {})
    return ask("GET", f"{registry.url}/v2/{repository}/manifests/1", headers=headers)


def test_nothing_is_served_without_a_token(registry: Registry) -> None:
    refusal = manifest(registry, "demo/hello")
    assert refusal.status == 401
    assert 'scope="repository:demo/hello:pull"' in refusal.headers["WWW-Authenticate"]


def test_a_token_opens_the_repository_it_names_and_no_other(registry: Registry, tokens: TokenService) -> None:
    token = tokens.grant("repository:demo/hello:pull", "")
    assert manifest(registry, "demo/hello", token).status == 200
    assert manifest(registry, "library/hello", token).status == 401


def test_only_a_user_gets_at_what_is_private(registry: Registry, tokens: TokenService, images: Images) -> None:
    nobody, robot = (tokens.grant("repository:private/hello:pull", user) for user in ("", USERNAME))
    assert manifest(registry, "private/hello", nobody).status == 401
    assert manifest(registry, "private/hello", robot).body == images.private.top.body
