from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest


def test_descriptors_are_values() -> None:
    one, same, other = (Descriptor("application/json", Digest.of(body), len(body)) for body in (b"{}", b"{}", b"[]"))
    assert {one, same, other} == {one, other}
