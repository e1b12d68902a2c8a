"""The names of registries of Aliyun and Huawei Cloud: what a host says of its region."""

import re

# Each begins with two letters, as no service does: by a pattern a client chooses the name, and below `oss-...` and `obs` are buckets.
_REGION = r"[a-z]{2}-[a-z0-9-]+"
# help.aliyun.com/acr: personal (also from a VPC), personal with an instance of its own, enterprise.
_ALIYUN = re.compile(rf"(?:registry(?:-vpc|-internal)?\.({_REGION})|[a-z0-9-]+\.({_REGION})(?:\.personal)?\.cr)\.aliyuncs\.com")
_HUAWEI = re.compile(rf"swr\.({_REGION})\.(myhuaweicloud\.(?:com|eu))")


def aliyun_region(host: str) -> str | None:
    """Return the region of a registry of Aliyun; None where its name tells none."""
    found = _ALIYUN.fullmatch(host)
    return found[1] or found[2] if found else None


def huawei_place(host: str) -> tuple[str, str] | None:
    """Return region and domain of a registry of Huawei Cloud; None where its name tells none."""
    found = _HUAWEI.fullmatch(host)
    return (found[1], found[2]) if found else None
