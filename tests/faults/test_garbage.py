"""A request that fails is forgotten when it has been answered: an exception that keeps itself keeps all that it passed through.

Whole garbage collections are rare, a minute apart and more where many clients are, so what only they can free is a client's to pile up.
"""

import gc
from collections import Counter
from pathlib import Path
from types import FrameType

import pytest

import regproxy
from regproxy.oci.digest import Digest
from tests.fakes.deeds import Status
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME = "library/app"
HERE = str(Path(regproxy.__file__).parent)


async def _fail(proxy: Rig, name: str) -> None:
    digest = Digest.of(name.encode())
    for path in (f"blobs/{digest}", f"manifests/{digest}", "manifests/1", "tags/list"):
        for method in ("GET", "HEAD"):
            assert (await proxy.ask(f"/v2/{name}/{path}?ns=docker.io", method)).status >= 400
    assert (await proxy.ask(f"/v2/{name}/blobs/{digest}?ns=docker.io", Range="bytes=0-9")).status >= 400


@pytest.mark.parametrize("hosts", [1, 2])
@pytest.mark.parametrize("status", [404, 403, 418, 500, 429])
async def test_n12_14_a_request_that_fails_leaves_no_frame_behind(upstream: FakeRegistry, tmp_path: Path, status: int, hosts: int) -> None:
    upstream.misbehave("/v2/", Status(status))
    async with FakeRegistry() as other:
        other.misbehave("/v2/", Status(status))
        urls = [{"url": each.url} for each in (upstream, other)]
        async with rig(tmp_path / "store", {"docker.io": {"hosts": urls[:hosts]}}) as proxy:
            await _fail(proxy, f"{NAME}0")
            gc.collect()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                await _fail(proxy, f"{NAME}1")
                gc.collect()
                frames = [each.f_code for each in gc.garbage if isinstance(each, FrameType)]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
    assert Counter(code.co_qualname for code in frames if code.co_filename.startswith(HERE)) == {}
