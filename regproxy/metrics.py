"""Every metric, declared once. Labels come from closed sets, never a repository, a digest or anything a client chose."""

from prometheus_client import Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from regproxy.ports import HostStatus

REQUESTS = Counter("regproxy_requests_total", "Requests answered", ["endpoint", "upstream", "outcome"])
SECONDS = Histogram(
    "regproxy_request_seconds",
    "From request to the last byte of the answer",
    ["endpoint"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
SENT_BYTES = Counter("regproxy_sent_bytes_total", "Body bytes sent to clients", ["endpoint", "source"])
CLIENTS_DROPPED = Counter("regproxy_clients_dropped_total", "Connections ended because their clients made us wait", ["reason"])
UPSTREAM_REQUESTS = Counter("regproxy_upstream_requests_total", "Requests sent upstream", ["upstream", "host", "endpoint", "outcome"])
UPSTREAM_BYTES = Counter("regproxy_upstream_bytes_total", "Body bytes received from upstream", ["upstream", "host"])
HOST_FIRST_BYTE = Gauge("regproxy_upstream_first_byte_seconds", "Usual time to an answer", ["upstream", "host"])
HOST_RATE = Gauge("regproxy_upstream_connection_bytes_per_second", "Usual rate of one connection", ["upstream", "host"])
HOST_RANK = Gauge("regproxy_upstream_rank", "1: asked first for a blob", ["upstream", "host"])
HOST_REST = Gauge("regproxy_upstream_rest_seconds", "How long it is still left alone after a failure", ["upstream", "host"])
HOST_FAILURES = Gauge("regproxy_upstream_failures", "Failures remembered; they fade", ["upstream", "host"])
HOST_LIES = Gauge("regproxy_upstream_lies", "Answers that were wrong", ["upstream", "host"])
RATELIMIT_REMAINING = Gauge("regproxy_upstream_ratelimit_remaining", "Pulls left, as a host said last", ["upstream", "host"])
TOKEN_REQUESTS = Counter("regproxy_token_requests_total", "Tokens asked for", ["upstream", "outcome"])
REDIS_ERRORS = Counter("regproxy_redis_errors_total", "Calls to Redis that came to nothing")
FILLS = Gauge("regproxy_fills_in_progress", "Blobs being copied into the store")
FOLLOWERS = Counter("regproxy_fill_followers_total", "Responses fed from a fill in progress")
RESUMES = Counter("regproxy_fill_resumes_total", "Transfers that broke and were gone on with", ["reason"])
STALE_SERVED = Counter("regproxy_stale_served_total", "Answers given from an old record because upstream was out of reach")
CORRUPT = Counter("regproxy_corrupt_total", "Content found to be wrong, in the store or from an upstream")
STORE_BYTES = Gauge("regproxy_store_bytes", "Bytes on the store's disk, in content and on its way in")
STORE_BLOBS = Gauge("regproxy_store_blobs", "Blobs and manifests in the store")
STORE_REFUSING = Gauge("regproxy_store_refusing", "1 while the store takes nothing, and pulls go on from upstream")
NOT_KEPT = Counter("regproxy_not_kept_total", "Blobs and manifests that were served and could not be kept")
EVICTED_BYTES = Counter("regproxy_evicted_bytes_total", "Bytes removed to make room")
LOOP_LAG = Gauge("regproxy_loop_lag_seconds", "How late the event loop was at its last beat")


def tell_host(upstream: str, host: HostStatus) -> None:
    """Say how a host is doing now: most of it changes by time alone."""
    labels = upstream, host.url.partition("://")[2]
    HOST_RANK.labels(*labels).set(host.rank)
    HOST_REST.labels(*labels).set(host.rests_for)
    HOST_FAILURES.labels(*labels).set(host.failures)
    HOST_LIES.labels(*labels).set(host.lies)
    if host.first_byte is not None:
        HOST_FIRST_BYTE.labels(*labels).set(host.first_byte)
    if host.bytes_per_second is not None:
        HOST_RATE.labels(*labels).set(host.bytes_per_second)


def exposition() -> tuple[bytes, str]:
    """Render all metrics; the second value is the Content-Type."""
    return generate_latest(), CONTENT_TYPE_LATEST
