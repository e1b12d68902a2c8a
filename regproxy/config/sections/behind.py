"""An object store behind the disk, as the configuration file spells it."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from regproxy.config.model import Model, Place
from regproxy.config.units import Keys, Origin, Size

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,60}){0,5}/?")


def _bucket_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"s3", "gs", "az"} or not _BUCKET.fullmatch(parts.netloc):
        raise ValueError("must be s3://, gs:// or az:// and a bucket, such as s3://bucket/regproxy")
    if not _PREFIX.fullmatch(parts.path) or "?" in value or "#" in value:
        raise ValueError("has a path that is no prefix: letters, digits, `.`, `_` and `-`, separated by /")
    return value.rstrip("/")


BucketUrl: TypeAlias = Annotated[str, AfterValidator(_bucket_url)]


class BehindEntry(Model):
    """An object store in which content outlives machines."""

    url: BucketUrl = Field(
        description="`s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`. Credentials and region are found the way each"
        " cloud does it: environment, files, metadata services."
    )
    endpoint: Origin | None = Field(
        default=None, description="Where an S3-compatible or Azure-compatible server is. None: the provider's. `http://` is in clear text."
    )
    key: Keys = Field(
        repr=False,
        description="Signs what lies there of who holds what and what tags mean; the same for all who share the bucket. Two of them,"
        " separated by a comma, while one is rotated out: the first signs.",
    )
    max_size: Size | None = Field(
        default=None,
        description="What is more than that in the bucket is evicted there, what nobody has used longest first. None: the bucket grows.",
    )
    redirect: Literal["never", "always"] = Field(
        default="never",
        description="always: answer a GET of a large blob by 307 with a signed URL of the bucket, which clients have to reach. The URL"
        " opens that blob to whoever has it for 60 s.",
    )
    redirect_from: Size = Field(default=16 * 1024 * 1024, description="Blobs of at least that size are redirected.")
    redirect_private: bool = Field(
        default=False,
        description="true: redirect also what upstream gives only for a credential or a certificate, ours or a client's that was shown to"
        " it, and what `access: none` closes.",
    )

    def contradictions(self) -> Iterator[tuple[Place, str]]:
        """Find what is wrong between settings that are each right."""
        if self.endpoint is not None and self.url.startswith("gs:"):
            yield ("store", "behind", "endpoint"), "is not for gs://"

    def effective(self) -> dict[str, Any]:
        return {**self.model_dump(mode="json"), "key": "***"}
