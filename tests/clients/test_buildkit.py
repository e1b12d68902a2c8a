"""buildkitd builds from an image that it pulls through what `regproxy client-config buildkit` wrote."""

from collections import Counter

from .buildkit import BuildKit
from .images import Images
from .proxy import HUB, Proxy
from .registry import Registry

_FILLER = 1024 * 1024


def test_n15_03_an_image_is_built_from_what_the_cache_has_with_the_registry_down(
    buildkit: BuildKit, images: Images, registry: Registry
) -> None:
    image = images.filled("demo/built-from", _FILLER)
    registry.push(image)
    buildkit.pull(image)
    buildkit.check(image)
    fetched = [request.path for request in registry.blob_requests() if f"/{image.repository}/" in request.path]
    assert Counter(path.rpartition("/")[2] for path in fetched) == dict.fromkeys([blob.digest for blob in image.blobs], 1)
    buildkit.forget()
    with registry.outage():
        buildkit.pull(image)
        buildkit.check(image)
    buildkit.forget()


def test_n19_05_a_builds_cache_is_imported_with_the_registry_down(
    buildkit: BuildKit, images: Images, registry: Registry, proxy: Proxy
) -> None:
    image = images.filled("demo/built-with-cache", _FILLER)
    registry.push(image)
    cache = buildkit.export_cache(image, "demo/build-cache")
    registry.push(cache)
    buildkit.forget()
    importing = f"--import-cache=type=registry,ref={HUB}/{cache.name}"
    buildkit.pull(image, importing)
    buildkit.check(image)
    buildkit.forget()
    proxy.warm(cache)
    proxy.warm(image)
    before = proxy.answered(cache.repository, 200)
    with registry.outage():
        buildkit.pull(image, importing)
        buildkit.check(image)
    assert proxy.answered(cache.repository, 200) > before, "what was built is taken out of the cache"
    buildkit.forget()
