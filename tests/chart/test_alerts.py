"""Each alert fires where it should, by promtool's own test of rules, and every metric that is named exists."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from regproxy.telemetry import metrics
from tests.clients.programs import program

from .chart import CHART, Rendered

_JOB = 'job="rp",instance="10.0.0.1:5001"'
_OF_HOST = f'{_JOB},upstream="docker.io",host="registry-1.docker.io"'
_OF_OTHERS = {"up", "kubelet_volume_stats_available_bytes"}

# What Prometheus collects for the alert, one series a line with its values each minute; and when it is looked at.
_FIRING: dict[str, tuple[dict[str, str], str]] = {
    "RegproxyDown": ({f"up{{{_JOB}}}": "0x10"}, "6m"),
    "RegproxyUpstreamDown": (
        {
            f'regproxy_upstream_requests_total{{{_OF_HOST},endpoint="manifests",outcome="unavailable"}}': "0+6x60",
            f'regproxy_upstream_requests_total{{{_OF_HOST},endpoint="manifests",outcome="ok"}}': "0+1x60",
        },
        "40m",
    ),
    "RegproxyStaleServed": ({f"regproxy_stale_served_total{{{_JOB}}}": "0+1x60"}, "40m"),
    "RegproxyDiskFull": ({f"regproxy_store_refusing{{{_JOB}}}": "1x90"}, "70m"),
    "RegproxyHitRatioLow": (
        {
            f'regproxy_requests_total{{{_JOB},endpoint="blobs",upstream="docker.io",outcome="miss"}}': "0+60x300",
            f'regproxy_requests_total{{{_JOB},endpoint="blobs",upstream="docker.io",outcome="hit"}}': "0+20x300",
        },
        "240m",
    ),
    "RegproxyCorrupt": ({f"regproxy_corrupt_total{{{_JOB}}}": "0x10 1x20"}, "15m"),
    "RegproxyPullsLeftLow": ({f"regproxy_upstream_ratelimit_remaining{{{_OF_HOST}}}": "5x20"}, "10m"),
    "RegproxyCredentialsRefused": ({f"regproxy_upstream_credentials_refused{{{_OF_HOST}}}": "1x20"}, "10m"),
    "RegproxyCertificateEnds": (
        {f'regproxy_certificate_ends_timestamp_seconds{{{_JOB},port="registry"}}': "864000x90"},
        "70m",
    ),
    "RegproxyFleetMemberUnreachable": ({f"regproxy_fleet_unreachable{{{_JOB}}}": "0 0 1x30"}, "15m"),
    "RegproxyObjectStoreDown": ({f"regproxy_object_store_down{{{_JOB}}}": "0 1x30"}, "15m"),
    "RegproxyObjectStoreQueueGrows": ({f"regproxy_object_store_pending{{{_JOB}}}": "1+3x300"}, "130m"),
}
_WELL = {  # what a regproxy that is well says: no alert fires
    f"up{{{_JOB}}}": "1x300",
    f'regproxy_upstream_requests_total{{{_OF_HOST},endpoint="manifests",outcome="unavailable"}}': "0+1x300",
    f'regproxy_upstream_requests_total{{{_OF_HOST},endpoint="manifests",outcome="ok"}}': "0+9x300",
    f"regproxy_stale_served_total{{{_JOB}}}": "7x300",
    f"regproxy_store_refusing{{{_JOB}}}": "0x300",
    f'regproxy_requests_total{{{_JOB},endpoint="blobs",upstream="docker.io",outcome="hit"}}': "0+60x300",
    f'regproxy_requests_total{{{_JOB},endpoint="blobs",upstream="docker.io",outcome="miss"}}': "0+20x300",
    f"regproxy_corrupt_total{{{_JOB}}}": "3x300",
    f"regproxy_upstream_ratelimit_remaining{{{_OF_HOST}}}": "90x300",
    f"regproxy_upstream_credentials_refused{{{_OF_HOST}}}": "0x300",
    f'regproxy_certificate_ends_timestamp_seconds{{{_JOB},port="registry"}}': "86400000x300",
    f"regproxy_fleet_unreachable{{{_JOB}}}": " ".join(["1x5 0x20"] * 12),  # one after the other is replaced
    f"regproxy_object_store_down{{{_JOB}}}": " ".join(["1x3 0x30"] * 9),
    f"regproxy_object_store_pending{{{_JOB}}}": " ".join(["5+5x40 0x5"] * 7),
}


def _rules() -> dict[str, Any]:
    found: dict[str, Any] = Rendered({"metrics": {"prometheusRule": {"enabled": True}}}).one("PrometheusRule", "rp-regproxy")["spec"]
    return found


def test_n15_01_every_alert_fires_where_it_should_and_nowhere_else(tmp_path: Path) -> None:
    promtool = program("promtool", "prometheus")
    rules = _rules()
    names = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert set(names) == set(_FIRING)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                    "eval_time": at,
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
            ],
        }
        for alert, (series, at) in _FIRING.items()
    ]
    quiet = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in _WELL.items()],
        "promql_expr_test": [{"expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": "280m", "exp_samples": []}],
    }
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [*tests, quiet]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run([promtool, "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_n15_01_every_alert_says_what_it_means_and_what_to_do() -> None:
    for group in _rules()["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"info", "warning", "critical"}
            assert rule["annotations"]["summary"], rule["alert"]
            assert rule["annotations"]["description"], rule["alert"]


@pytest.mark.parametrize("place", ["alerts", "dashboard"])
def test_n15_01_every_metric_that_is_named_exists(place: str) -> None:
    assert metrics.REQUESTS is not None  # declares them all
    known = {sample for family in REGISTRY.collect() for sample in _names(family.name, family.type)}
    text = json.dumps(_rules()) if place == "alerts" else (CHART / "grafana.json").read_text()
    named = set(re.findall(r"\b(?:regproxy|kubelet)_[a-z_]+(?=[{[(\s\\,)])|\bup(?=\{)", text))
    assert len(named) > 5
    assert named - known - _OF_OTHERS == set()


def _names(family: str, kind: str) -> set[str]:
    match kind:
        case "counter":
            return {f"{family}_total"}
        case "histogram":
            return {f"{family}_bucket", f"{family}_sum", f"{family}_count"}
        case _:
            return {family}
