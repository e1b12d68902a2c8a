"""When a node's configuration is written and withdrawn."""

import inspect
from pathlib import Path

import pytest
import yaml

from regproxy.cli.node_config import keep
from regproxy.nodes import agent
from regproxy.nodes.cluster import is_everywhere, unready_nodes
from regproxy.nodes.guard import NodeGuard, Step


def _done(guard: NodeGuard, now: float, *, has_answered: bool) -> Step:
    step = guard.step(now, has_answered=has_answered)
    guard.done(step)
    return step


def test_n15_01_nothing_is_written_before_the_cache_has_answered() -> None:
    guard = NodeGuard(60, 0)
    assert [_done(guard, now, has_answered=False) for now in (0, 5, 59)] == [Step.NOTHING] * 3
    assert _done(guard, 65, has_answered=True) is Step.APPLY
    assert _done(guard, 70, has_answered=True) is Step.NOTHING


def test_n15_01_it_is_withdrawn_after_the_silence_and_written_with_the_next_answer() -> None:
    guard = NodeGuard(60, 0)
    _done(guard, 0, has_answered=True)
    assert _done(guard, 59, has_answered=False) is Step.NOTHING
    assert _done(guard, 60, has_answered=False) is Step.UNDO
    assert _done(guard, 65, has_answered=False) is Step.NOTHING
    assert _done(guard, 70, has_answered=True) is Step.APPLY


def test_n15_01_what_an_earlier_agent_wrote_is_withdrawn_too() -> None:
    assert _done(NodeGuard(60, 0), 60, has_answered=False) is Step.UNDO


def test_n15_01_what_failed_is_done_again() -> None:
    guard = NodeGuard(60, 0)
    assert guard.step(0, has_answered=True) is Step.APPLY
    assert guard.step(5, has_answered=True) is Step.APPLY
    guard.done(Step.APPLY)
    assert guard.step(65, has_answered=False) is Step.UNDO
    assert guard.step(70, has_answered=False) is Step.UNDO


def test_n15_01_the_node_is_given_back_before_an_old_containerd_looks_again() -> None:
    """An old one (1.6) tries a connection for 30 s, and reads once more where to pull from when it has the tag."""
    defaults = yaml.safe_load((Path(__file__).parents[2] / "deploy/helm/regproxy/values.yaml").read_text())["clientConfig"]
    silence = inspect.signature(keep).parameters["silence"].default
    assert defaults["silence"] == silence
    probes = 2 * agent.INTERVAL
    assert silence + probes < 30


@pytest.mark.parametrize(("address", "wanted"), [("10.0.0.7", "http://10.0.0.7:30500"), ("fd00::7", "http://[fd00::7]:30500")])
def test_n15_01_an_endpoint_is_at_the_node(address: str, wanted: str) -> None:
    assert agent.at_node("http://HOST_IP:30500", address) == wanted
    assert agent.at_node("http://127.0.0.1:1", None) == "http://127.0.0.1:1"
    with pytest.raises(ValueError, match="HOST_IP"):
        agent.at_node("http://HOST_IP:1", None)


def test_n15_01_a_daemonset_is_everywhere_only_by_its_own_status() -> None:
    meta = {"generation": 1}
    assert not is_everywhere({"metadata": meta, "status": {}})
    assert not is_everywhere({"metadata": meta, "status": {"observedGeneration": 1, "desiredNumberScheduled": 2, "numberReady": 1}})
    assert is_everywhere({"metadata": meta, "status": {"observedGeneration": 1, "desiredNumberScheduled": 2, "numberReady": 2}})


def test_n15_01_nodes_that_are_not_undone_are_named() -> None:
    ready, lost = {"type": "Ready", "status": "True"}, {"type": "Ready", "status": "False"}
    pods = [
        {"metadata": {"name": "a"}, "spec": {"nodeName": "node-a"}, "status": {"conditions": [ready]}},
        {"metadata": {"name": "b"}, "spec": {"nodeName": "node-b"}, "status": {"conditions": [lost]}},
        {"metadata": {"name": "c"}, "spec": {}, "status": {}},
    ]
    assert unready_nodes({"items": pods}) == ["node-b", "the node of Pod c"]
