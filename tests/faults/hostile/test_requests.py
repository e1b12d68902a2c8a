"""What the fuzzer says a request may be answered with: it has to be right, or the fuzzer accuses what is documented."""

import pytest

from tests.faults.hostile.requests import Grammar, Intent
from tests.faults.hostile.run import Run
from tests.faults.hostile.world import world


@pytest.mark.parametrize(
    ("upstream", "host", "may"),
    [
        ("open.test", "pass.cache", True),
        ("open.test", "proxy", True),
        ("pass.test", "pass.cache", False),
        ("mirrored.test", "open.cache", False),
    ],
)
async def test_an_absolute_form_is_judged_by_its_own_host(upstream: str, host: str, *, may: bool) -> None:
    run = Run("seed", 0.0)
    async with world(run, 20) as made:
        image = next(image for image in made.images for where in image.permitted if where.upstream == upstream)
        name = next(where.name for where in image.permitted if where.upstream == upstream)
        request = Grammar(made, run.random("requests")).absolute(Intent("GET", "manifests", name, image.tag, host=host))
    assert request.raw.startswith(f"GET http://elsewhere/v2/{name}/manifests/{image.tag} HTTP/1.1\r\nHost: {host}\r\n".encode())
    assert request.allowed == (image.manifest if may else None), "it asks the default upstream, whatever Host says"
