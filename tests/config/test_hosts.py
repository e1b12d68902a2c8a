"""What the configuration says of one host: headers and rewrites."""

from pathlib import Path

import pytest

from regproxy.config import load
from regproxy.policy.credential import Secret
from regproxy.policy.routing import Host
from regproxy.policy.upstream.rewriting import Rewrite
from tests.config.loaded import mistakes, settings, upstream

PLACE = "upstreams.x.io.hosts[0]"


def _text(entry: str) -> str:
    return f"upstreams: {{x.io: {{hosts: [{{url: 'https://x.io', {entry}}}]}}}}"


def _host(file: Path, entry: str) -> Host:
    return upstream(settings(file, _text(entry), {"SECRET": "canary-header"}), "x.io").hosts[0]


def test_n19_02_rewrites_are_taken_in_their_order(file: Path) -> None:
    assert _host(file, "rewrite: {'^b/': a/, '^.*/([^/]+)$': $1}").rewrite == (Rewrite("^b/", "a/"), Rewrite("^.*/([^/]+)$", "$1"))


def test_n19_02_what_headers_have_is_shown_nowhere(file: Path) -> None:
    host = _host(file, "headers: {CF-Access-Client-Secret: '${SECRET}', X-Region: eu}")
    assert host.headers == (("CF-Access-Client-Secret", Secret("canary-header")), ("X-Region", Secret("eu")))
    found = load(file, {"SECRET": "canary-header"})
    assert "canary-header" not in repr(found) + found.as_yaml()
    assert "CF-Access-Client-Secret: '***'" in found.as_yaml()


MISTAKES = [
    ("rewrite: {'(a+)+': b}", f"{PLACE}.rewrite: cannot be used: '(a+)+' repeats what itself repeats or chooses, which could take long"),
    ("rewrite: {'^a': $1}", f"{PLACE}.rewrite: cannot be used: '^a' refers to a group that the expression does not have"),
    ("rewrite: {" + ", ".join(f"a{n}: b" for n in range(33)) + "}", f"{PLACE}.rewrite: has more than 32 rules"),
    ("headers: {X: 'a\n  b\n\n  canary'}", f"{PLACE}.headers.X: is empty, too long, or has what a header cannot carry"),
    ("headers: {X: ''}", f"{PLACE}.headers.X: is empty, too long, or has what a header cannot carry"),
    ("headers: {X: 'canäry'}", f"{PLACE}.headers.X: is empty, too long, or has what a header cannot carry"),
    ("headers: {x: canary, X: canary}", f"{PLACE}.headers: has a header twice"),
    ("headers: {" + ", ".join(f"X{n}: canary" for n in range(17)) + "}", f"{PLACE}.headers: has more than 16 headers"),
    ("headers: {'X:': canary}", f"{PLACE}.headers.X...: is not the name of a header"),
    *[
        (f"headers: {{{name}: canary}}", f"{PLACE}.headers.{name}: is about a connection, and not for a host")
        for name in ("Connection", "Proxy-Authorization", "TE", "transfer-encoding", "Upgrade", "Keep-Alive", "Trailer")
    ],
    *[
        (
            f"headers: {{{name}: canary}}",
            f"{PLACE}.headers.{name}: is a header that regproxy sends itself (credentials belong under credentials)",
        )
        for name in ("Authorization", "Host", "Range", "accept", "Via", "Content-Length", "If-Range", "User-Agent", "traceparent")
    ],
]


@pytest.mark.parametrize(("text", "line"), MISTAKES)
def test_n19_02_a_mistake_about_a_host_is_one_line_that_tells_no_secret(file: Path, text: str, line: str) -> None:
    assert mistakes(file, _text(text), {"SECRET": "canary-header"}) == [f"FILE: {line}"]
