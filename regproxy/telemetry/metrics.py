"""Every metric, declared once. Labels come from closed sets, never a repository, a digest or anything a client chose.

Where the environment names a directory, each process counts in files of its own there, and any of them can tell the sum (prometheus_client,
multiprocess mode). A process that takes the place of another takes over its name, and counts on.
"""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import getitem
from typing import Self

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.samples import Sample

from regproxy.ports import HostStatus
from regproxy.telemetry.multiprocess import DIRECTORY, NAME

_counting_as = [os.environ.get(NAME, "")]
if NAME in os.environ:
    values.ValueClass = values.MultiProcessValue(partial(getitem, _counting_as, 0))  # type: ignore[no-untyped-call]

_labels: list[Callable[[str], str]] = [str]


@contextmanager
def labelling_upstreams(by: Callable[[str], str]) -> Iterator[None]:
    """Count registries under what *by* makes of their names: the pattern that names them, as clients choose the names that it covers.

    Of several at once, as while a worker of this process takes the place of another, the one that began last says it.
    """
    own = partial(by)  # equal to none but itself
    _labels.append(own)
    try:
        yield
    finally:
        _labels.remove(own)


def upstream_label(registry: str) -> str:
    """Return what a registry is counted under."""
    return _labels[-1](registry)


class _UpstreamCounter(Counter):
    """Counts by upstream, the first of its labels: a registry that a pattern names counts under the pattern."""

    def labels(self, *values: object) -> Self:  # type: ignore[override]  # by position alone
        upstream, *others = values
        return super().labels(upstream_label(str(upstream)), *others)


class _Durations(Histogram):
    """Observes many values at the price of one: a cache hit takes no longer than ten of them."""

    def observe_all(self, values: Sequence[float]) -> None:
        """Observe each of *values*."""
        counts: dict[int, int] = {}
        for value in values:
            bucket = bisect_left(self._upper_bounds, value)
            counts[bucket] = counts.get(bucket, 0) + 1
        self._sum.inc(sum(values))
        for bucket, count in counts.items():
            self._buckets[bucket].inc(count)


_Gauge = partial(Gauge, multiprocess_mode="livemostrecent")  # of all processes, what was said last

CONTENT = frozenset({"manifests", "blobs", "tags", "referrers"})  # endpoints whose requests make the hit ratio; others never hit
REQUESTS = Counter("regproxy_requests_total", "Requests answered", ["endpoint", "upstream", "outcome"])
SECONDS = _Durations(
    "regproxy_request_seconds",
    "From request to the last byte of the answer",
    ["endpoint"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
SECONDS.labels("other")  # opens the file that histograms count in, while there is a descriptor left for it
SENT_BYTES = Counter("regproxy_sent_bytes_total", "Body bytes sent to clients", ["endpoint", "source"])
CLIENTS_DROPPED = Counter("regproxy_clients_dropped_total", "Connections ended because their clients made us wait", ["reason"])
QUOTA_REFUSALS = Counter("regproxy_quota_refusals_total", "What clients were not given because their quota was used up", ["quota"])
QUOTA_WAIT_SECONDS = Counter("regproxy_quota_wait_seconds_total", "Seconds that responses waited because of a client's rate")
UPSTREAM_REQUESTS = _UpstreamCounter(
    "regproxy_upstream_requests_total", "Requests sent upstream", ["upstream", "host", "endpoint", "outcome"]
)
UPSTREAM_BYTES = _UpstreamCounter("regproxy_upstream_bytes_total", "Body bytes received from upstream", ["upstream", "host"])
HOST_FIRST_BYTE = _Gauge("regproxy_upstream_first_byte_seconds", "Usual time to an answer", ["upstream", "host"])
HOST_RATE = _Gauge("regproxy_upstream_connection_bytes_per_second", "Usual rate of one connection", ["upstream", "host"])
HOST_RANK = _Gauge("regproxy_upstream_rank", "1: asked first for a blob", ["upstream", "host"])
HOST_BACKOFF = _Gauge("regproxy_upstream_backoff_seconds", "How long it is still left alone after a failure", ["upstream", "host"])
HOST_FAILURES = _Gauge("regproxy_upstream_failures", "Failures remembered; they fade", ["upstream", "host"])
HOST_CORRUPT_RESPONSES = _Gauge("regproxy_upstream_corrupt_responses", "Responses with wrong content", ["upstream", "host"])
HOST_CREDENTIALS = _Gauge(
    "regproxy_upstream_credentials_refused", "1 while our credentials are refused, or cannot be had", ["upstream", "host"]
)
RATELIMIT_REMAINING = _Gauge("regproxy_upstream_ratelimit_remaining", "Pulls left, as a host said last", ["upstream", "host"])
UPSTREAM_RATE_WAIT_SECONDS = _UpstreamCounter(
    "regproxy_upstream_rate_wait_seconds_total", "Seconds that downloads waited because of max_rate", ["upstream"]
)
TOKEN_REQUESTS = _UpstreamCounter("regproxy_token_requests_total", "Tokens asked for", ["upstream", "outcome"])
PROOFS = _UpstreamCounter("regproxy_proofs_total", "Looked up whether a client may pull from a private repository", ["upstream", "outcome"])
REDIS_ERRORS = Counter("regproxy_redis_errors_total", "Calls to Redis that came to nothing")
FLEET_MEMBERS = _Gauge("regproxy_fleet_members", "Members of the fleet, as this one sees it")
FLEET_UNREACHABLE = _Gauge("regproxy_fleet_unreachable", "Members that did not answer when they were asked last whether they live")
FLEET_PIECE_CACHE_BYTES = _Gauge("regproxy_fleet_piece_cache_bytes", "Bytes of pieces for other members on the disk")
FLEET_REQUESTS = Counter("regproxy_fleet_requests_total", "Pieces that other members were asked for, and how that ended", ["outcome"])
FLEET_PIECES = Counter("regproxy_fleet_pieces_total", "Pieces of blobs that were brought, and from where", ["source"])
FLEET_CHECKS = Counter("regproxy_fleet_checks_total", "Pieces compared with what a cache further up says that they are", ["outcome"])
FLEET_BYTES = Counter("regproxy_fleet_bytes_total", "Bytes of pieces between members", ["direction"])
FLEET_OTHER_ZONE_BYTES = Counter("regproxy_fleet_other_zone_bytes_total", "Bytes of pieces received from members in other zones")
FLEET_SHARING = Counter("regproxy_fleet_sharing_total", "Calls of other members for tags, tokens and locks", ["outcome"])
FILLS = Gauge("regproxy_fills_in_progress", "Blobs being copied into the store", multiprocess_mode="livesum")
FOLLOWERS = Counter("regproxy_fill_followers_total", "Responses fed from a fill in progress")
RESUMES = Counter("regproxy_fill_resumes_total", "Transfers that broke and were resumed", ["reason"])
STALE_SERVED = Counter("regproxy_stale_served_total", "Stale responses, served while upstream was unreachable")
SIGNATURES = _UpstreamCounter("regproxy_signatures_total", "Manifests of repositories that require a signature", ["upstream", "outcome"])
GONE_SERVED = _UpstreamCounter("regproxy_gone_served_total", "Responses of tags that upstream has deleted", ["upstream"])
COOLDOWNS = _UpstreamCounter("regproxy_cooldowns_total", "Looked up what a tag is served as while it cools down", ["upstream", "outcome"])
WARMED = Counter("regproxy_warmed_images_total", "Images of warm-ups that were brought in, or not", ["state"])
HOOK_EVENTS = Counter("regproxy_hook_events_total", "Events that registries sent, and what became of them", ["source", "result"])
HOOK_REFRESHES = Counter("regproxy_hook_refreshes_total", "Tags refreshed because of an event", ["source", "result"])
REPOSITORIES_CLOSED = _UpstreamCounter(
    "regproxy_repositories_closed_total", "Repositories closed because upstream refuses them", ["upstream"]
)
CORRUPT = Counter("regproxy_corrupt_total", "Content found to be wrong, in the store or from an upstream")
STORE_BYTES = _Gauge("regproxy_store_bytes", "Bytes on the store's disk, in content and on its way in")
STORE_BLOBS = _Gauge("regproxy_store_blobs", "Blobs and manifests in the store")
STORE_REFUSING = Gauge(
    "regproxy_store_refusing", "1 while the store takes nothing, and pulls go on from upstream", multiprocess_mode="livemax"
)
NOT_KEPT = Counter("regproxy_not_kept_total", "Blobs and manifests that were served and could not be kept")
EVICTED_BYTES = Counter("regproxy_evicted_bytes_total", "Bytes removed to make room")
OBJECT_STORE_READS = Counter("regproxy_object_store_reads_total", "Looked up in the object store for a client", ["outcome"])
OBJECT_STORE_READ_BYTES = Counter("regproxy_object_store_read_bytes_total", "Bytes of blobs read from the object store, verified")
OBJECT_STORE_DAMAGED = Counter("regproxy_object_store_damaged_total", "Objects found to be wrong, short or missing, and written again")
OBJECT_STORE_UPLOADS = Counter("regproxy_object_store_uploads_total", "Entries of the queue to the object store, ended", ["outcome"])
OBJECT_STORE_WRITTEN_BYTES = Counter("regproxy_object_store_written_bytes_total", "Bytes of content written to the object store")
OBJECT_STORE_PENDING = _Gauge("regproxy_object_store_pending", "Entries that wait to be written to the object store")
OBJECT_STORE_PENDING_BYTES = _Gauge("regproxy_object_store_pending_bytes", "Bytes of content that wait to be written there")
OBJECT_STORE_DOWN = _Gauge("regproxy_object_store_down", "1 while nothing can be written to the object store")
OBJECT_STORE_EVICTED_BYTES = Counter("regproxy_object_store_evicted_bytes_total", "Bytes removed from the object store to make room")
OBJECT_STORE_REDIRECTS = Counter("regproxy_object_store_redirects_total", "Clients sent to the object store for a blob")
CERTIFICATE_ENDS = _Gauge("regproxy_certificate_ends_timestamp_seconds", "When the certificate of a port ends", ["port"])
LOOP_LAG = Gauge("regproxy_loop_lag_seconds", "Longest event loop lag of a worker in its last second", multiprocess_mode="livemax")
TASKS = Gauge("regproxy_tasks", "Tasks of the event loops of all processes", multiprocess_mode="livesum")
WORKERS = _Gauge("regproxy_workers", "Workers that accept")
RESTARTS = Counter("regproxy_worker_restarts_total", "Workers replaced: they died, were silent, or the configuration changed", ["reason"])

_DRAWN = {
    "regproxy_sent_bytes_total": "sent_bytes",
    "regproxy_upstream_bytes_total": "upstream_bytes",
    "regproxy_evicted_bytes_total": "evicted_bytes",
    "regproxy_fills_in_progress": "downloads",
    "regproxy_fill_followers_total": "followers",
    "regproxy_fill_resumes_total": "resumes",
    "regproxy_store_bytes": "store_bytes",
    "regproxy_store_blobs": "store_blobs",
    "regproxy_loop_lag_seconds": "loop_lag",
    "regproxy_workers": "workers",
}  # gauges and counters by what the history calls them
_FROM_MEMBERS = "fleet_bytes"


def tell_host(upstream: str, host: HostStatus) -> None:
    """Return how a host is doing now: most of it changes by time alone. Those of patterns are in the API alone."""
    if upstream_label(upstream) != upstream:
        return
    labels = upstream, host.url.partition("://")[2]
    HOST_RANK.labels(*labels).set(host.rank)
    HOST_BACKOFF.labels(*labels).set(host.backoff_seconds)
    HOST_FAILURES.labels(*labels).set(host.failures)
    HOST_CORRUPT_RESPONSES.labels(*labels).set(host.corrupt_responses)
    HOST_CREDENTIALS.labels(*labels).set(bool(host.refused_credentials))
    if host.first_byte is not None:
        HOST_FIRST_BYTE.labels(*labels).set(host.first_byte)
    if host.bytes_per_second is not None:
        HOST_RATE.labels(*labels).set(host.bytes_per_second)


def exposition() -> tuple[bytes, str]:
    """Render all metrics, of all processes that count together; the second value is the Content-Type."""
    return generate_latest(_all_processes()), CONTENT_TYPE_LATEST


def totals() -> dict[str, float]:
    """Add up what the page of the admin port draws: requests for content by outcome (`requests.hit`), and the others by name."""
    sums = dict.fromkeys([*_DRAWN.values(), _FROM_MEMBERS], 0.0)
    for family in _all_processes().collect():
        for sample in family.samples:
            if (drawn := _drawn(sample)) is not None:
                sums[drawn] = sums.get(drawn, 0.0) + sample.value
    return sums


def _drawn(sample: Sample) -> str | None:
    """Return the series of the history that *sample* belongs to, if there is one."""
    if sample.name == "regproxy_requests_total":
        return f"requests.{sample.labels['outcome']}" if sample.labels["endpoint"] in CONTENT else None
    if sample.name == "regproxy_fleet_bytes_total":
        return _FROM_MEMBERS if sample.labels["direction"] == "received" else None
    return _DRAWN.get(sample.name)


def _all_processes() -> CollectorRegistry:
    if DIRECTORY not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def count_as(name: str) -> None:
    """Count as *name* from now on, in a process that was forked."""
    _counting_as[0] = name


def forget_process(name: str) -> None:
    """Forget how things stood in a process that is gone; what it counted stays counted."""
    mark_process_dead(name)  # type: ignore[no-untyped-call]
