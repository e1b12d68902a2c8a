from dataclasses import replace

from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.clouds.sources import AwsIdentity, Ecr, fingerprint
from regproxy.policy.credential import Secret


def test_n19_01_sources_that_differ_in_anything_share_nothing_and_none_tells_its_secret() -> None:
    source = Ecr(AwsIdentity.KEYS, "eu-west-1", "https://e", key=AccessKey("id", Secret("canary-1")))
    others = [replace(source, region="x"), replace(source, key=AccessKey("id", Secret("canary-2")))]
    found = {fingerprint(each, "a.io").value for each in (source, *others)} | {fingerprint(source, "b.io").value}
    assert len(found) == 4
    assert fingerprint(source, "a.io").value in found
    assert "canary" not in repr(found)
