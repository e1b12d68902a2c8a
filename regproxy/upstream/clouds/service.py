"""Asking a service of a cloud, or a metadata service: one answer, small and in time, from itself and nobody else.

What it says of itself is told by its code alone: messages of services quote what they were sent. No redirect is followed, whoever it is.
"""

import ipaddress
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from yarl import URL

from regproxy.config import Timeouts
from regproxy.oci.http.retry_after import parse_retry_after
from regproxy.policy.clock import WallClock
from regproxy.policy.clouds.signing import CloudRequest
from regproxy.policy.routing import Host
from regproxy.policy.upstream.transport import Proxy, Tls
from regproxy.ports import Throttled, Unavailable, UnexpectedResponse, UpstreamError, detached
from regproxy.telemetry.log import fields
from regproxy.upstream.connections import Connections, Deadline, Pool, read_at_most

_MAX_ANSWER_BYTES = 64 * 1024  # credentials are a few KiB
_TOLERATED_SKEW = 60.0  # seconds between two clocks that explain no refusal
_THROTTLING = re.compile(r"thrott|toomanyrequests|requestlimitexceeded|slow_?down|flowlimit", re.IGNORECASE)
_PART = r"(?:[A-Za-z]{1,40}|[A-Z]{0,10}\d{1,10})"
_CODE = re.compile(rf"{_PART}(?:[._:]{_PART}){{0,5}}")  # words and numbers, as codes are, and no token is
_XML_CODE = re.compile(rb"<Code>([^<]{1,80})</Code>")
_ENTRA_CODE = re.compile(r"AADSTS\d{1,10}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CloudAnswer:
    """What a service answered; *now* is the time by its clock, in epoch seconds."""

    who: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    now: float
    sent: str = field(default="", repr=False)  # all of the request that may hold a secret

    def document(self) -> dict[str, Any]:
        """Return the JSON object that it is; raise `UnexpectedResponse`."""
        found = _parsed(self.body)
        if found is None:
            raise UnexpectedResponse(f"{self.who} did not answer with a JSON object: somebody else answers there, or a proxy in between")
        return found

    @property
    def code(self) -> str:
        """Return the code of an error; empty where there is none that can be told."""
        code = _code(_parsed(self.body) or {}) or _xml_code(self.body)
        return code if _CODE.fullmatch(code) and code not in self.sent else ""

    def failure(self, what: str, advice: str) -> UpstreamError:
        """Say that *what* was not given, whose fault that is, and what to do."""
        told = " ".join(filter(None, (str(self.status), self.code)))
        if self.status == 429 or _THROTTLING.search(self.code):
            return Throttled(f"{self.who} throttles us ({told})", parse_retry_after(self.headers.get("retry-after"), self.now))
        if 300 <= self.status < 400:
            return UnexpectedResponse(f"{self.who} redirected us ({self.status}), which is not followed with a credential")
        if self.status >= 500:
            return Unavailable(f"{self.who} answered {told} for {what}: it is out of order")
        return Unavailable(f"{self.who} refused {what} ({told}): {advice}")


class CloudService:
    """One origin that is asked for credentials."""

    def __init__(
        self,
        who: str,
        url: str,
        host: Host,
        clock: WallClock,
        *,
        is_metadata: bool = False,
        tls: Tls | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Ask the service at *url*, called *who*, for the sake of *host*; a metadata service is asked without a proxy, where these are."""
        self._who = who
        self._url = URL(url)
        self._clock = clock
        self._skew = 0.0  # of its clock to ours, once a refusal has shown one
        proxy: Proxy | None = None if is_metadata else host.proxy
        addresses = _addresses(self._url.host or "") if is_metadata else ()
        asked = Host(url, private_networks=host.private_networks, proxy=proxy, tls=tls or Tls())
        self._connections = Connections(asked, timeouts or Timeouts(), addresses)

    @property
    def host(self) -> str:
        """Return the host as requests name it."""
        return str(self._url.host_port_subcomponent)

    async def ask(self, request: CloudRequest) -> CloudAnswer:
        """Send a request; raise `UpstreamError` where there is no answer."""
        if not self._url.host:  # a registry that a client named, by a pattern
            raise Unavailable(f"{self._who} is not known by the name of this registry: set its region or endpoint")
        url = URL(f"{self._url.origin()}{request.target}", encoded=True)
        deadline = Deadline(self._connections.token_timeout)
        headers = {"accept": "application/json", **dict(request.headers)}
        body = request.body or None
        try:
            async with self._connections.request(Pool.TOKEN, request.method, url, headers, form=body, deadline=deadline) as response:
                with self._connections.translated(url):
                    answered = await read_at_most(response, _MAX_ANSWER_BYTES, "a credential")
                lowered = {name.lower(): value for name, value in response.headers.items()}
                sent = f"{request.target} {list(headers.values())} {request.body.decode(errors='replace')}"
                return CloudAnswer(self._who, response.status, lowered, answered, _date(lowered) or self._clock(), sent)
        except Unavailable as error:
            raise _named(error, self._who) from error

    async def ask_signed(self, signed: Callable[[float], CloudRequest]) -> CloudAnswer:
        """Send what is signed for a moment; one that is refused because clocks differ is signed by the clock of the service, once."""
        answer = await self.ask(signed(self._clock() + self._skew))
        skew = answer.now - self._clock()
        is_refused = 400 <= answer.status < 500 or (answer.status == 200 and answer.code)  # some clouds refuse with 200
        if is_refused and abs(skew - self._skew) > _TOLERATED_SKEW:
            self._skew = skew
            _log.warning("clock differs from the cloud's", extra=fields(service=self._who, seconds=round(skew)))
            return await self.ask(signed(self._clock() + skew))
        return answer

    async def close(self) -> None:
        await self._connections.close()


def _addresses(host: str) -> tuple[str, ...]:
    """List where a metadata service may be: at the address that is configured. No name leads to one."""
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        return ()


def _date(headers: Mapping[str, str]) -> float | None:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _code(document: Mapping[str, Any]) -> str:
    """Find the code of an error, where the clouds have it."""
    inner = document.get("error")
    if isinstance(inner, Mapping):  # Google
        return str(inner.get("status", ""))
    if found := _ENTRA_CODE.match(str(document.get("error_description", ""))):
        return found[0]
    response = document.get("Response")
    if isinstance(response, Mapping) and isinstance(response.get("Error"), Mapping):  # Tencent
        return str(response["Error"].get("Code", ""))
    names = ("__type", "Code", "code", "error_code", "error")
    return next((value.rpartition("#")[2] for name in names if isinstance(value := document.get(name), str)), "")


def _xml_code(body: bytes) -> str:
    found = _XML_CODE.search(body)
    return found[1].decode(errors="replace") if found else ""


def _named(error: Unavailable, who: str) -> UpstreamError:
    """Say who was asked, beside its address."""
    copied = detached(error)
    copied.args = (f"{who}: {error}",)
    return copied
