"""Strings of values stay strings in what Helm renders: YAML takes `true`, `1e3` and `0x1f` for something else where they are not quoted."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.clients.go_programs import go_program

from .chart import CHART, KUBERNETES
from .test_rendered import EVERYTHING, MODES

SCHEMA = json.loads((CHART / "values.schema.json").read_text())

# Each is taken by what Kubernetes calls a name, or is free text.
NAMES = ("true", "1e3", "0x1f", "null")
TEXTS = ("yes", "a: b #c", "{x}, [y", "*z", "~", "0o17", "'\"", "")
PATHS = ("/a: b", "/x #y", "/{z}, a", "/'\"", "/")

# What has keys of the user's choice.
STRINGS = ("commonLabels", "podLabels", "podAnnotations", "nodeSelector")
NESTED = (
    *("serviceAccount.annotations", "service.annotations", "persistence.annotations", "node.nodeSelector", "clientConfig.nodeSelector"),
    *("metrics.serviceMonitor.labels", "metrics.prometheusRule.labels", "metrics.grafanaDashboard.labels"),
    *("metrics.grafanaDashboard.annotations", "admission.namespaceSelector.matchLabels"),
)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as Kubernetes reads it: PyYAML alone takes `1e3` and `0o17` for strings."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))


def rendered(values: Mapping[str, object], namespace: str = "regproxy", release: str = "rp") -> Any:  # noqa: ANN401  YAML
    """Render, and leave out what is another each time, or made from values by a hash."""
    helm = [
        str(go_program("helm")),
        "template",
        release,
        str(CHART),
        f"--namespace={namespace}",
        f"--kube-version={KUBERNETES}",
        "--values=-",
    ]
    done = subprocess.run(helm, input=json.dumps(values), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.load_all(done.stdout, _Loader) if document]
    for document in documents:
        data = document.get("data", {})
        for name, text in data.items():
            if name == "regproxy.yaml":
                data[name] = yaml.load(text, _Loader)  # noqa: S506
    return _without(documents, {"checksum/config", "caBundle", "ca.crt", "tls.crt", "tls.key", "regproxy.io/renew-after"})


def _without(found: Any, dropped: set[str]) -> Any:  # noqa: ANN401
    if isinstance(found, dict):
        return {key: _without(value, dropped) for key, value in found.items() if key not in dropped}
    return [_without(value, dropped) for value in found] if isinstance(found, list) else found


def _places(schema: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the places of free strings, each with its pattern."""
    for name, each in schema.get("properties", {}).items():
        if each.get("type") == "object":
            yield from _places(each, (*place, name))
        elif each.get("type") == "string" and (*place, name)[-1] != "digest":
            yield (*place, name), each.get("pattern", "")
        elif each.get("type") == "array" and each["items"].get("type") == "string" and "enum" not in each["items"]:
            yield (*place, name, "0"), ""


def _values(round_: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Return values whose strings are words that nothing else has, and what of *round_* is to stand for each word."""
    values: dict[str, Any] = json.loads(json.dumps(EVERYTHING))
    stands: dict[str, str] = {}

    def put(place: tuple[str, ...], word: str) -> None:
        at = values
        for name in place[:-2] if place[-1] == "0" else place[:-1]:
            at = at.setdefault(name, {})
        if place[-1] == "0":
            at[place[-2]] = [word]
        else:
            at[place[-1]] = word

    for number, (place, pattern) in enumerate(_places(SCHEMA)):
        fits = [each for each in (*NAMES, *TEXTS, *PATHS) if each and re.search(pattern, each)]
        word = f"/word/{number}x" if pattern == "^/.+" else f"word{number}x"
        if not fits or not re.search(pattern, word):
            continue  # an address, a size: its pattern has nothing that YAML reads in another way
        put(place, word)
        stands[word] = fits[round_ % len(fits)]
    for dotted in (*STRINGS, *NESTED):
        put((*dotted.split("."), "example.com/key"), f"{dotted}-word")
        stands[f"{dotted}-word"] = TEXTS[round_ % len(TEXTS)]
    values["extraEnv"] = [{"name": "A", "value": "env-word"}]
    values["imagePullSecrets"] = [{"name": "pull-word"}]
    values["upstreamCredentials"] = {"docker.io": {"existingSecret": "hub-word"}}
    values["config"] = {"upstreams": {"docker.io": {"deny": ["deny-word"]}}}
    return values, stands | {each: NAMES[round_ % len(NAMES)] for each in ("env-word", "pull-word", "hub-word", "deny-word")}


def _replaced(found: Any, stands: Mapping[str, str]) -> Any:  # noqa: ANN401
    if isinstance(found, dict):
        return {_replaced(key, stands): _replaced(value, stands) for key, value in found.items()}
    if isinstance(found, list):
        return [_replaced(value, stands) for value in found]
    if isinstance(found, str):
        return re.sub("|".join(map(re.escape, sorted(stands, key=len, reverse=True))), lambda word: stands[word[0]], found)
    return found


@pytest.mark.parametrize("mode", MODES)
def test_n15_01_a_string_of_the_values_stays_the_string(mode: str) -> None:
    """What is rendered of a word, with the word replaced, is what is rendered of its replacement."""
    of_words = rendered(_values(0)[0] | {"mode": mode})
    for round_ in range(2):
        values, stands = _values(round_)
        assert rendered(_replaced(values, stands) | {"mode": mode}) == _replaced(of_words, stands)


def test_n15_01_a_release_and_its_namespace_may_have_any_name() -> None:
    for mode in MODES:
        values = {**EVERYTHING, "mode": mode}
        stands = {"namespace-word": "1e3", "release-word": "0x1f"}
        assert rendered(values, "1e3", "0x1f") == _replaced(rendered(values, "namespace-word", "release-word"), stands)
