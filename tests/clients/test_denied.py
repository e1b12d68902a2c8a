"""A real client gets nothing of a repository that is denied: by its tag, by its digest, as a list."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK

from .copiers import by_skopeo
from .processes import run
from .programs import program


@pytest.mark.parametrize("pattern", ["tools/mid", "tools/mid:*"])
async def test_n19_02_skopeo_gets_nothing_of_a_denied_repository(tmp_path: Path, pattern: str) -> None:
    async with FakeRegistry() as upstream:
        digests = {name: upstream.add_image(name, "1", [b"layer"]).digest for name in ("tools/mid", "tools/middle")}
        denying = Program(tmp_path, {"registry.test": {"hosts": [{"url": upstream.url}], "deny": [pattern]}}, workers=1)
        async with denying.running():
            prefix = f"{LOOPBACK}:{denying.port}/registry.test"

            async def copy(name: str, target: str, to: str) -> None:
                source = f"docker://{prefix}/{name}{target}"
                options = ["--insecure-policy", "copy", "--src-tls-verify=false"]
                await asyncio.to_thread(run, [program("skopeo", "skopeo"), *options, source, f"dir:{tmp_path / to}"])

            await copy("tools/middle", ":1", "tag")
            await copy("tools/middle", f"@{digests['tools/middle']}", "digest")
            for target in (":1", f"@{digests['tools/mid']}"):
                with pytest.raises(RuntimeError, match="the configuration denies"):
                    await copy("tools/mid", target, "denied")
            with pytest.raises(RuntimeError, match="403"):
                await asyncio.to_thread(by_skopeo, f"{prefix}/tools/mid")
        assert not [entry for entry in upstream.ledger if "/tools/mid/" in entry.path]
