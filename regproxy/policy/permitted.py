"""What may be pulled of an upstream: `allow` names it, and `deny` takes from that.

Patterns are over the repository and the tag as clients name them, `library/nginx:1.27`, before a host's `rewrite` and `prefix`. A digest,
matched as `repository@digest`, is allowed wherever some tag or digest of its repository is: what a tag means is pulled by digest. A
repository alone is all of it, and where `deny` names each of its tags, nothing is pulled by digest either. A pattern of tags denies no
digest, though its `*` would fit one that happens to be written so.
"""

import re
from fnmatch import fnmatchcase

from regproxy.oci import errors
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Target
from regproxy.policy.freezing import touches, whole_pattern
from regproxy.policy.routing import Route, Upstream

_OF_TAGS = re.compile(r"[\w*./-]*:\*?[\w.-]{1,7}\*?")  # nobody means a digest by seven of its characters


def check_denied(route: Route, target: Target) -> None:
    """Raise DENIED where the configuration does not permit the pull."""
    upstream, name = route.upstream, route.repository.name
    is_digest = isinstance(target, Digest)
    subject = f"{name}{'@' if is_digest else ':'}{target}"
    for pattern in upstream.deny:
        is_meant = not (is_digest and _is_of_tags(pattern))
        if (is_meant and fnmatchcase(subject, pattern)) or _covers_all(pattern, name):
            raise errors.denied(f"{upstream.name}/{subject} may not be pulled: the configuration denies {pattern!r}")
    if not (_allows_some(upstream, name) if is_digest else _allows(upstream, subject)):
        raise errors.denied(f"{upstream.name}/{subject} may not be pulled: the configuration does not allow it")


def check_listing_denied(route: Route) -> None:
    """Raise DENIED where the configuration forbids all of a repository, so that there is nothing to list."""
    if denies_all(route.upstream, route.repository.name):
        raise errors.denied(f"{route.repository} may not be listed: the configuration denies all of it")


def denies_all(upstream: Upstream, name: str) -> bool:
    """Report whether nothing of repository *name* may be pulled: some pattern denies all of it, or none allows any."""
    return any(_covers_all(pattern, name) for pattern in upstream.deny) or not _allows_some(upstream, name)


def _is_of_tags(pattern: str) -> bool:
    """Report whether *pattern* is surely of tags: what may be meant for a digest, or the beginning of one, goes on denying it."""
    return _OF_TAGS.fullmatch(pattern) is not None and "sha" not in pattern


def _covers_all(pattern: str, name: str) -> bool:
    """Report whether *pattern* names the repository itself, or each of its tags."""
    return fnmatchcase(name, pattern) or (pattern.endswith("*") and fnmatchcase(f"{name}:", pattern))


def _allows(upstream: Upstream, subject: str) -> bool:
    return not upstream.allow or any(fnmatchcase(subject, whole_pattern(pattern)) for pattern in upstream.allow)


def _allows_some(upstream: Upstream, name: str) -> bool:
    return not upstream.allow or any(touches(whole_pattern(pattern.partition("@")[0]), name) for pattern in upstream.allow)
