"""docs/api.md: every route of the admin port, and no other, with what it answers."""

import json
import re
from dataclasses import fields
from typing import Any

from regproxy.peers.watch import MemberStatus
from regproxy.policy.clients.admin_access import AdminAccess
from regproxy.ports import DownloadStatus, HostStatus, Image, Part
from regproxy.pull.explain.steps import Step
from regproxy.web.admin.app import admin_app
from tests.rig import OneProcess, Rig

from .blocks import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text()


def test_every_route_of_the_admin_port_is_documented_and_no_other(proxy: Rig) -> None:
    app = admin_app(proxy.proxy.admin, OneProcess(proxy.proxy), AdminAccess(), proxy.history)
    routes = {f"{route.method} {route.resource.canonical}" for route in app.router.routes() if route.resource is not None}
    documented = re.findall(r"^### `([A-Z]+ \S+)`$", PAGE, re.MULTILINE)
    assert sorted(documented) == sorted(route for route in routes if not route.startswith("HEAD ") and not route.endswith("/api/v1"))


def test_the_answers_have_the_fields_that_the_page_shows() -> None:
    shown: dict[str, Any] = {}
    for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL):
        shown = json.loads(block) | shown  # a field is explained where it is shown first
    for kind, example in {
        HostStatus: shown["docker.io"]["hosts"][0],
        Image: shown["images"][0],
        Part: shown["parts"][0],
        Step: shown["steps"][0],
        DownloadStatus: shown["downloads"][0],
        MemberStatus: shown["fleet"]["members"][0],
    }.items():
        assert set(example) == {field.name for field in fields(kind)}
