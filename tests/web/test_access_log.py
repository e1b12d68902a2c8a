"""What is logged and counted of a response."""

import io
import json
import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.http.trace_context import TraceContext
from regproxy.web.access_log import AccessLogEntry
from regproxy.web.buffered import BufferedResponse
from regproxy.web.context import RequestContext

TRACE = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1, "")


def _told(lines: io.StringIO, entry: AccessLogEntry) -> dict[str, object]:
    entry.tell([("id-1", "192.0.2.1", 0.25)])
    lines_now = [json.loads(line) for line in lines.getvalue().splitlines()]
    return dict(lines_now[-1])


def _asked(path: str = "/v2/library/app/manifests/1", agent: str = "containerd/2.1") -> web.BaseRequest:
    return make_mocked_request("GET", path, {"User-Agent": agent})


def test_a_line_says_who_asked_for_what_and_what_came_of_it(lines: io.StringIO) -> None:
    context = RequestContext(endpoint="manifests", upstream="docker.io", cache_status=CacheStatus.HIT)
    response = BufferedResponse(200, CIMultiDict(), b"body")
    told = _told(lines, AccessLogEntry(_asked(), context, response))
    assert told["message"] == "GET /v2/library/app/manifests/1 200"
    expected = {"endpoint": "manifests", "upstream": "docker.io", "outcome": "hit", "bytes": 4, "agent": "containerd/2.1", "failure": None}
    assert {name: told[name] for name in expected} == expected
    assert (told["request_id"], told["client"], told["seconds"]) == ("id-1", "192.0.2.1", 0.25)
    assert "trace_id" not in told


def test_a_client_that_left_got_no_status(lines: io.StringIO) -> None:
    told = _told(lines, AccessLogEntry(_asked(), RequestContext(failure=None, trace=TRACE), None))
    assert (told["message"], told["outcome"], told["bytes"]) == ("GET /v2/library/app/manifests/1 499", "client_closed", None)
    assert told["trace_id"] == TRACE.trace_id


def test_a_failure_on_the_way_is_told(lines: io.StringIO) -> None:
    context = RequestContext(cache_status=CacheStatus.MISS, failure="docker.io broke off")
    told = _told(lines, AccessLogEntry(_asked(), context, web.Response(status=200)))
    assert (told["outcome"], told["failure"]) == ("aborted", "docker.io broke off")


@pytest.mark.parametrize(("failure", "level"), [(None, "debug"), ("the disk failed", "info")])
def test_n17_10_of_what_is_quiet_failures_are_told_and_the_rest_to_who_debugs(
    lines: io.StringIO, caplog: pytest.LogCaptureFixture, failure: str | None, level: str
) -> None:
    entry = AccessLogEntry(_asked(), RequestContext(is_quiet=True, failure=failure), web.Response(status=503))
    assert _told(lines, entry)["level"] == level
    caplog.set_level(logging.INFO, "regproxy.access")
    entry.tell([("id-2", "192.0.2.1", 0.25)])
    assert ("id-2" in lines.getvalue()) is (failure is not None)


@pytest.mark.parametrize("part", ["path", "agent"])
def test_what_a_client_writes_is_cut(lines: io.StringIO, part: str) -> None:
    asked = _asked(path="/" + "x" * 10_000) if part == "path" else _asked(agent="x" * 10_000)
    told = _told(lines, AccessLogEntry(asked, RequestContext(), web.Response()))
    assert str(told).count("x") < 600
