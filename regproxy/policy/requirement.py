"""Which images have to be signed, and by whom; and what needs no signature because nothing runs it.

A signature is of a digest, so a rule is for repositories: one for tags would not hold for pulls by digest.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.manifest import DOCKER_MANIFEST, Manifest, parse_descriptor

_SIGNATURES = frozenset({"application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.dsse.envelope.v1+json"})
_ATTACHED = _SIGNATURES | {
    "application/vnd.in-toto+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/spdx+json",
    "application/vnd.cyclonedx+json",
    "text/spdx+json",
}
# What a runtime, an old docker that looks at no type of a layer, or helm makes something of that runs.
_RUNNABLE = (
    "application/vnd.oci.image.",
    "application/vnd.docker.",
    "application/vnd.wasm",
    "application/wasm",
    "application/vnd.cncf.helm.",
    "application/octet-stream",
)
# Types that docker takes for a config's, as registries once gave them to everything (moby, distribution/registry.go).
_UNTYPED = ("application/json", "text/html")
_PACKED = frozenset({"tar", "tgz", "gzip", "gz", "zstd", "zip", "wasm"})
_NO_CONFIG = "application/vnd.oci.empty.v1+json"
_WORDS = re.compile(r"[^a-z0-9]+")


class RequireMode(Enum):
    """What becomes of an image that is not signed as required."""

    ENFORCE = "enforce"  # 403
    WARN = "warn"  # served with a warning


@dataclass(frozen=True, slots=True)
class Identity:
    """A signer without a key: for whom (`subject`) an issuer of identities vouched; each by its name, or by a pattern of the whole name."""

    issuer: str
    subject: str
    is_issuer_pattern: bool = False
    is_subject_pattern: bool = False

    @property
    def key(self) -> str:
        """Name it differently from every other one."""
        patterns = (("issuer", self.is_issuer_pattern), ("subject", self.is_subject_pattern))
        return "\0".join([self.issuer, self.subject, *(name for name, is_pattern in patterns if is_pattern)])

    def __str__(self) -> str:
        """Say who it is."""
        named = ((self.subject, self.is_subject_pattern), (self.issuer, self.is_issuer_pattern))
        return " by ".join(f"what matches {name}" if is_pattern else name for name, is_pattern in named)


@dataclass(frozen=True, slots=True)
class Requirement:
    """The rule for the repositories that *match*: paths of files with public keys, and identities; a signature of one of them will do."""

    match: str = "*"
    keys: tuple[str, ...] = ()
    identities: tuple[Identity, ...] = ()
    trust_root: str | None = None  # of the identities: a file
    mode: RequireMode = RequireMode.ENFORCE

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.keys, *((self.trust_root,) if self.trust_root is not None else ()))

    def __str__(self) -> str:
        """Say what is demanded."""
        return f"a signature by one of {', '.join([*self.keys, *map(str, self.identities)])}"


def requirement_of(rules: Iterable[Requirement], name: str) -> Requirement | None:
    """Pick the first rule for the repository *name*."""
    return next((rule for rule in rules if fnmatchcase(name, rule.match)), None)


def policy_id(rule: Requirement, contents: Sequence[bytes]) -> str:
    """Name what *rule* accepts, by the *contents* of its files: another key is another policy, however its file is called."""
    found = hashlib.sha256(b"require 2")  # 1 took for signed what an exempt index lists
    for text in (*contents, *(each.key.encode() for each in rule.identities)):
        found.update(b"%d:" % len(text) + text)
    return found.hexdigest()


class Exemption(Enum):
    """Whether a manifest needs no signature."""

    NONE = "none"
    ATTACHED = "attached"
    """It is a signature, an attestation or another referrer, or a list of them, and nothing in it can be run."""
    IF_JSON = "if JSON"
    """It is one if each of its layers is JSON: its config has the type of an image's, as that of cosign's signatures under a tag has."""


def exemption(manifest: Manifest) -> Exemption:
    """Return whether *manifest* needs no signature, as far as it tells by itself."""
    document = manifest.document
    if "manifests" in document:
        listed = document["manifests"]
        is_list = isinstance(listed, list) and all(_is_referrer(each) for each in listed)
        return Exemption.ATTACHED if is_list else Exemption.NONE
    layers = [layer for name in ("layers", "blobs") for layer in _listed(document.get(name, []))]
    types = [_type(layer) for layer in layers]
    is_referrer = parse_descriptor(document.get("subject")) is not None
    if any(map(is_runnable, types)) or not (is_referrer or (types and _ATTACHED.issuperset(types))):
        return Exemption.NONE
    config = _type(document["config"]) if "config" in document else _NO_CONFIG
    is_dockers = manifest.descriptor.media_type == DOCKER_MANIFEST  # podman looks at no type of a config in it
    if not is_dockers and not is_runnable(config) and not config.lower().startswith(_UNTYPED):
        return Exemption.ATTACHED
    return Exemption.IF_JSON if config and types and _ATTACHED.issuperset(types) else Exemption.NONE


def layers_of(manifest: Manifest) -> list[Descriptor]:
    """List what a manifest holds beside its config; malformed ones are left out."""
    document = manifest.document
    layers = (parse_descriptor(layer) for name in ("layers", "blobs") for layer in _listed(document.get(name, [])))
    return [layer for layer in layers if layer is not None]


def is_runnable(media_type: str) -> bool:
    """Report whether something may run content of this type; what has none is taken for an image by some."""
    name = media_type.partition(";")[0].strip().lower()
    return not name or name.startswith(_RUNNABLE) or not _PACKED.isdisjoint(_WORDS.split(name))


def _is_referrer(item: object) -> bool:
    """Report whether an entry of an index is one of the Referrers Tag Schema, and no image of a platform."""
    match item:
        case {"artifactType": str(artifact_type), **rest}:
            return "platform" not in rest and not is_runnable(artifact_type)
        case _:
            return False


def _listed(items: object) -> list[Any]:
    return items if isinstance(items, list) else [None]


def _type(item: object) -> str:
    """Return the media type of a descriptor; nothing where it is none."""
    found = parse_descriptor(item)
    return found.media_type if found is not None else ""
