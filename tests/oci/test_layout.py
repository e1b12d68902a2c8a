"""Images in a tar."""

import pytest

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.layout import blob_path, full_reference, image_of, index, listed
from regproxy.oci.manifest import OCI_MANIFEST
from regproxy.oci.reference import InvalidName

IMAGE = Descriptor(OCI_MANIFEST, Digest.of(b"image"), 5)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("org/app:1", "docker.io/org/app:1"),
        ("quay.io/org/app", "quay.io/org/app:latest"),
        ("localhost/app:1", "localhost/app:1"),
        ("registry:5000/app", "registry:5000/app:latest"),
        (f"quay.io/app@{IMAGE.digest}", f"quay.io/app@{IMAGE.digest}"),
    ],
)
def test_names_are_completed_as_docker_does(name: str, full: str) -> None:
    assert str(full_reference(name)) == full


@pytest.mark.parametrize("name", ["", "UPPER:1", "a:b:c", "quay.io/"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        full_reference(name)


def test_an_index_lists_what_was_written_into_it() -> None:
    assert listed(index([("quay.io/app:1", IMAGE)])) == [("quay.io/app:1", IMAGE)]


def test_an_image_without_a_name_and_what_is_no_descriptor() -> None:
    written = image_of(IMAGE, [])["config"]
    assert listed({"manifests": [written, {"size": 1}]}) == [(None, IMAGE)]


def test_blobs_lie_where_the_layout_has_them() -> None:
    assert blob_path(IMAGE.digest) == f"blobs/sha256/{IMAGE.digest.hex}"
