"""Upstream failures as OCI errors for clients."""

from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.ports import (
    Corrupt,
    InvalidContent,
    Kind,
    LocalResourceError,
    NotFound,
    Refused,
    Rejected,
    Throttled,
    Unavailable,
    UpstreamError,
)

_UNKNOWN = {Kind.MANIFEST: errors.manifest_unknown, Kind.BLOB: errors.blob_unknown}


def upstream_failure(error: UpstreamError, kind: Kind | None = None) -> RegistryError:
    """Translate an upstream's failure into an error for the client; never 401, never 429.

    Where a manifest or blob, as *kind* says, is missing, the repository need not be: a cache that asks us would believe that.
    """
    match error:
        case NotFound(is_repository=False) if kind is not None:
            return _UNKNOWN[kind](str(error))
        case NotFound():
            return RegistryError("NAME_UNKNOWN", 404, str(error))
        case Refused():
            return errors.denied(str(error))
        case Rejected(status=status, code=code):
            return RegistryError(code, status, str(error))
        case InvalidContent():
            return errors.content_invalid(str(error))
        case Throttled(retry_after=pause):
            return errors.unavailable(str(error), retry_after=max(1, round(pause or 60)))
        case LocalResourceError():
            return errors.unavailable(str(error), retry_after=5)
        case Unavailable(timed_out=True):
            return errors.gateway_timeout(str(error))
        case Unavailable() | Corrupt():
            return errors.bad_gateway(str(error))
        case _:
            raise TypeError(f"{type(error)} is no error of the ports") from error
