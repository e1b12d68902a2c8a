"""The names of AWS: what the host of an ECR registry says of its region and partition."""

import re
from typing import NamedTuple

# botocore, partitions.json: regions. By a pattern a client chooses the name, and `s3` for a region would be somebody's bucket.
_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d+"
_DOMAIN = r"amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn"
# docs.aws.amazon.com/AmazonECR: endpoints of registries, FIPS and dual-stack ones included
_REGISTRY = re.compile(rf"\d{{12}}\.dkr[.-]ecr(?:-fips)?\.({_REGION})\.({_DOMAIN})", re.ASCII)
_DOMAINS = {"on.aws": "amazonaws.com", "on.amazonwebservices.com.cn": "amazonaws.com.cn"}


class Place(NamedTuple):
    """A region, and the domain of the services of its partition."""

    region: str
    domain: str

    @property
    def ecr(self) -> str:
        return f"https://api.ecr.{self.region}.{self.domain}"

    @property
    def sts(self) -> str:
        return f"https://sts.{self.region}.{self.domain}"


def place_of(host: str) -> Place | None:
    """Return where the registry *host* is; None where the name is not one of ECR."""
    found = _REGISTRY.fullmatch(host)
    return Place(found[1], _DOMAINS.get(found[2], found[2])) if found else None


def place_in(region: str) -> Place:
    """Return where *region* is: those of China are a partition of their own."""
    return Place(region, "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com")
