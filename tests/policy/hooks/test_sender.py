"""Who knows a hook's secret is admitted; who shows anything else is not."""

import base64
import hmac

import pytest

from regproxy.policy.credential import Secret
from regproxy.policy.hooks.sender import Shown, has_signed, knows

SECRET = Secret("canary-of-a-hook-0123456789")
BASIC = base64.b64encode(f"anybody:{SECRET.value}".encode()).decode()


@pytest.mark.parametrize("header", [SECRET.value, f"Bearer {SECRET.value}", f"bearer  {SECRET.value}", f"Basic {BASIC}", f"basic {BASIC}"])
def test_n18_11_the_secret_is_shown_in_each_of_the_ways_of_harbor(header: str) -> None:
    assert knows(SECRET, Shown(authorization=[header]), by_url=False)


def test_n18_11_a_header_of_its_own_or_where_it_is_allowed_the_url_show_it() -> None:
    assert knows(SECRET, Shown(webhook_secret=[SECRET.value]), by_url=False)
    assert knows(SECRET, Shown(in_url=["wrong", SECRET.value]), by_url=True)
    assert not knows(SECRET, Shown(in_url=[SECRET.value]), by_url=False)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic", "Basic !", f"Basic {base64.b64encode(SECRET.value.encode()).decode()}", "Basic /w==", "Digest x",
     f"{SECRET.value}x", SECRET.value[:-1], f"Bearer {SECRET.value.upper()}", "\udcff"],
)  # fmt: skip
def test_n18_11_anything_else_is_not_the_secret(header: str) -> None:
    assert not knows(SECRET, Shown(authorization=[header]), by_url=True)


def test_n18_11_the_signature_is_that_of_githubs_documentation() -> None:
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    documented = Secret("It's a Secret to Everybody")
    assert has_signed(documented, Shown(signature=[signature]), b"Hello, World!")
    assert not has_signed(documented, Shown(signature=[signature]), b"Hello, World?")
    assert not has_signed(documented, Shown(signature=[]), b"Hello, World!")
    assert not has_signed(documented, Shown(authorization=[documented.value]), b"Hello, World!")
    old = hmac.new(documented.value.encode(), b"Hello, World!", "sha1").hexdigest()
    assert not has_signed(documented, Shown(signature=[f"sha1={old}", old]), b"Hello, World!")
