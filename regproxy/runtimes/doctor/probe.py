"""What answers at the endpoint, asked from here and without any proxy, as the runtime would."""

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from regproxy.runtimes.doctor.finding import Diagnosis, Finding
from regproxy.runtimes.model import Endpoint

_CONNECT_SECONDS = 3.0
_OF_REGISTRIES = frozenset({http.HTTPStatus.OK, http.HTTPStatus.UNAUTHORIZED})  # the latter where clients have to say who they are
_ANSWER_SECONDS = 5.0
_MAX_BODY_BYTES = 64 * 1024
_REACH = "open the way from this node to it, or name another address: containerd resolves no name of the cluster's DNS"


def probe(endpoint: Endpoint, certificates: Sequence[str], system: str | None, cluster: str | None) -> Diagnosis:
    """Connect, and ask who is there. *certificates* are PEM texts, believed beside the file *system*; *cluster* is who owns the cache."""
    where = endpoint.url
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return _one("endpoint-dns", f"the name {endpoint.host} cannot be resolved here: {error.strerror}", where, _REACH)
    with contextlib.closing(_Connection(endpoint, certificates, system)) as connection:
        return _connected(connection, endpoint, cluster, _addresses(found))


def _connected(connection: http.client.HTTPConnection, endpoint: Endpoint, cluster: str | None, addresses: str) -> Diagnosis:
    where = endpoint.url
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        what = f"the certificate of {endpoint.authority} is not trusted by what the runtime would believe: {error.verify_message}"
        return _one(
            "certificate-untrusted", what, where, "give the authority by --ca, or have the certificate made for this name and renewed"
        )
    except ssl.SSLError as error:
        return _one(
            "not-https", f"no TLS is spoken at {endpoint.authority}: {error.reason}", where, "write the endpoint with http://, or serve tls"
        )
    except ConnectionRefusedError:
        return _one("endpoint-refused", f"nothing listens at {endpoint.authority}, {addresses}", where, "start regproxy, or mend the port")
    except TimeoutError:
        what = f"no connection to {endpoint.authority}, {addresses}, within {_CONNECT_SECONDS:.0f} s"
        return _one("endpoint-timeout", what, where, _REACH)
    except OSError as error:
        return _one("endpoint-unreachable", f"{endpoint.authority} cannot be reached: {error.strerror or error}", where, _REACH)
    return _asked(connection, endpoint, cluster)


def _asked(connection: http.client.HTTPConnection, endpoint: Endpoint, cluster: str | None) -> Diagnosis:
    where = endpoint.url
    try:
        told = _get(connection, "/")
        status = _status(connection, "/v2/")
    except TimeoutError:
        what = f"{endpoint.authority} takes connections and answers nothing within {_ANSWER_SECONDS:.0f} s"
        return _one("endpoint-silent", what, where, "its processes stand still: restart it; a liveness probe of /healthz does so by itself")
    except (OSError, http.client.HTTPException) as error:
        what = f"{endpoint.authority} does not answer in HTTP: {type(error).__name__}"
        return _one("not-regproxy", what, where, "write the endpoint with https:// if it serves tls, or mend the port")
    if told.get("name") != "regproxy" or status not in _OF_REGISTRIES:
        what = f"something else than regproxy answers at {endpoint.authority}" + (
            f" (/v2/ is {status})" if status not in _OF_REGISTRIES else ""
        )
        return _one(
            "not-regproxy", what, where, "mend the host and the port: the registry port of regproxy is 5000 unless `listen` says otherwise"
        )
    if cluster is not None and told.get("cluster") != cluster:
        theirs = told.get("cluster")
        what = (
            f"the cache at {endpoint.authority} is that of {theirs!r}, not of {cluster!r}"
            if theirs
            else "it does not say whose cache it is"
        )
        return _one("other-cluster", what, where, f"name the endpoint of this cluster, or set `cluster: {cluster}` there")
    return Diagnosis(notes=(f"regproxy answers at {endpoint.url}",))


def _get(connection: http.client.HTTPConnection, path: str) -> dict[str, Any]:
    connection.request("GET", path, headers={"Accept": "application/json"})
    body = connection.getresponse().read(_MAX_BODY_BYTES)
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _status(connection: http.client.HTTPConnection, path: str) -> int:
    connection.close()
    connection.request("GET", path)
    response = connection.getresponse()
    response.read(_MAX_BODY_BYTES)
    return response.status


class _Connection(http.client.HTTPConnection):
    """A connection to the endpoint, by TLS where its scheme says so."""

    def __init__(self, endpoint: Endpoint, certificates: Sequence[str], system: str | None) -> None:
        super().__init__(endpoint.host, endpoint.port, timeout=_CONNECT_SECONDS)
        self._context: ssl.SSLContext | None = None
        if endpoint.is_https:
            self._context = ssl.create_default_context(cafile=system)
            for each in certificates:
                self._context.load_verify_locations(cadata=each)

    def connect(self) -> None:
        super().connect()
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)
        self.sock.settimeout(_ANSWER_SECONDS)


def _addresses(found: Sequence[tuple[Any, ...]]) -> str:
    return ", ".join(dict.fromkeys(str(each[4][0]) for each in found))


def _one(code: str, what: str, where: str, advice: str) -> Diagnosis:
    return Diagnosis((Finding(code, what, where, advice),))
