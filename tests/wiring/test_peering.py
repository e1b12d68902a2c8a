from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from regproxy.config import ConfigError, Settings, load
from regproxy.wiring import check_members, members_caution

KEY = "0123456789abcdef0123456789abcdef"
NOWHERE = "finds no address of this machine and the port of 0.0.0.0:5000 in fleet.peers: this is right unless it is a member"


def configured(root: Path, peers: object, **more: object) -> Settings:
    path = root / "regproxy.yaml"
    path.write_text(yaml.safe_dump({"listen": "0.0.0.0:5000", "fleet": {"peers": peers, "key": KEY, **more}}))
    return load(path, {})


async def looked_up(host: str, port: int) -> Sequence[str]:
    del port
    if host == "unknown.test":
        raise OSError("no such name")
    return {"here.test": ["127.0.0.1"], "there.test": ["198.51.100.1"]}[host]


@pytest.mark.parametrize(
    ("peers", "told"),
    [
        (["http://198.51.100.1:5000", "http://198.51.100.2:5000"], "no member has an address of this machine and the port of 0.0.0.0:5000"),
        (["http://there.test:5000", "http://127.0.0.1:5001"], "no member has an address of this machine"),
        (["http://here.test:5000", "http://127.0.0.1:5000"], "has this machine twice: http://here.test:5000, http://127.0.0.1:5000"),
    ],
)
async def test_n17_03_a_list_that_names_this_machine_never_or_twice_stops_the_start(tmp_path: Path, peers: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        await check_members(configured(tmp_path, peers), looked_up)


@pytest.mark.parametrize(
    ("peers", "told"),
    [
        (["http://198.51.100.1:5000", "http://198.51.100.2:5000"], NOWHERE),
        (["http://unknown.test:5000", "http://there.test:5000"], f"{NOWHERE} (no address is found of unknown.test)"),
        (["http://here.test:5000", "http://127.0.0.1:5000"], "has this machine twice: http://here.test:5000, http://127.0.0.1:5000"),
    ],
)
async def test_n17_03_what_would_be_wrong_on_a_member_is_a_caution_elsewhere(tmp_path: Path, peers: object, told: str) -> None:
    caution = await members_caution(configured(tmp_path, peers), looked_up)
    assert caution is not None
    assert told in caution
    assert "\n" not in caution


@pytest.mark.parametrize(
    ("peers", "more"),
    [
        (["http://here.test:5000", "http://unknown.test:5000"], {}),
        (["http://there.test:5000"], {"advertise": "http://there.test:5000"}),
        ("dns://unknown.test:5000", {}),
    ],
)
async def test_n17_03_what_is_right_on_any_machine_needs_no_caution(tmp_path: Path, peers: object, more: dict[str, object]) -> None:
    assert await members_caution(configured(tmp_path, peers, **more), looked_up) is None


@pytest.mark.parametrize(
    ("peers", "more"),
    [
        (["http://here.test:5000", "http://there.test:5000"], {}),
        (["http://unknown.test:5000", "http://there.test:5000"], {}),  # as it may be while the DNS is down
        (["http://there.test:5000"], {"advertise": "http://there.test:5000"}),
        ("dns://unknown.test:5000", {}),  # the first Pod of a Service has no address there yet
    ],
)
async def test_n17_03_what_may_be_right_starts(tmp_path: Path, peers: object, more: dict[str, object]) -> None:
    await check_members(configured(tmp_path, peers, **more), looked_up)


async def test_n17_03_there_may_be_no_fleet(tmp_path: Path) -> None:
    path = tmp_path / "regproxy.yaml"
    path.write_text("{}")
    await check_members(load(path, {}), looked_up)
