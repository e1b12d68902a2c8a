"""The image that only regproxy has."""

import io
import json
import tarfile

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.doctor_image import TAG, make_image, name_image
from regproxy.oci.endpoint import BlobPull, ManifestPull, TagList
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Tag

NAME = name_image("arm64", "0123456789abcdef" * 2)


def test_n15_04_everybody_makes_the_same_image_of_a_name() -> None:
    image = make_image(NAME)
    assert image is not None
    for number in range(100):  # more than are remembered
        make_image(name_image("arm64", f"{number:032x}"))
    assert image == make_image(NAME)
    manifest = image.find(ManifestPull(NAME, Tag(TAG)))
    assert manifest == image.find(ManifestPull(NAME, image.manifest.digest)) == image.manifest
    document = json.loads(image.manifest.body)
    assert Manifest.verify(image.manifest.body).descriptor.media_type == document["mediaType"]
    config = image.find(BlobPull(NAME, Digest.parse(document["config"]["digest"])))
    layer = image.find(BlobPull(NAME, Digest.parse(document["layers"][0]["digest"])))
    assert config is not None
    assert layer is not None
    told = json.loads(config.body)
    assert (told["architecture"], told["os"], told["rootfs"]["diff_ids"]) == ("arm64", "linux", [str(layer.digest)])
    with tarfile.open(fileobj=io.BytesIO(layer.body)) as packed:
        content = packed.extractfile("regproxy-doctor")
        assert content is not None
        assert content.read() == NAME.encode()


def test_n15_04_another_name_is_another_image() -> None:
    image, other = make_image(NAME), make_image(name_image("arm64", "f" * 32))
    assert image is not None
    assert other is not None
    assert not {image.manifest.digest, *image.blobs} & {other.manifest.digest, *other.blobs}
    assert image.find(ManifestPull(NAME, Tag("2"))) is None
    assert image.find(BlobPull(NAME, other.manifest.digest)) is None
    assert image.find(TagList(NAME)) is None


@pytest.mark.parametrize("name", ["library/busybox", "regproxy-doctor/amd64", "regproxy-doctor/amd64-0", f"x/{NAME}", f"{NAME}/x"])
def test_n15_04_no_other_repository_is_made(name: str) -> None:
    assert make_image(name) is None
