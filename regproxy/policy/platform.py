"""Platforms of an image, as `docker --platform` writes them: `linux/amd64`, `linux/arm64/v8` (OCI image-spec, image-index.md)."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

_FORM = re.compile(r"[a-z0-9]{1,32}/[a-z0-9_]{1,32}(?:/[a-z0-9.]{1,32})?")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True)
class Platform:
    """Where an image runs; without a *variant*, any of them."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `os/architecture[/variant]`; raise `ValueError`."""
        if not _FORM.fullmatch(text):
            raise ValueError(f"{text[:80]!r} is not a platform such as linux/amd64 or linux/arm64/v8")
        return cls(*text.split("/"))

    @classmethod
    def of_machine(cls, machine: str) -> Self:
        """Return the platform of a Linux that calls its *machine* so (uname(2))."""
        return cls("linux", _MACHINES.get(machine, machine))

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def fits(self, entry: Mapping[str, Any]) -> bool:
        """Report whether an *entry* of an index is for it."""
        match entry.get("platform"):
            case {"os": self.os, "architecture": self.architecture, **more}:
                return not self.variant or more.get("variant") == self.variant
            case _:
                return False


def named(entry: Mapping[str, Any]) -> str:
    """Return which platform an *entry* of an index is for, for people; empty where it says none, or unknown, as attestations do."""
    match entry.get("platform"):
        case {"os": str(os), "architecture": str(architecture)} if os != "unknown":
            return f"{os[:32]}/{architecture[:32]}"
        case _:
            return ""


def fitting(document: Mapping[str, Any], platforms: Collection[Platform]) -> list[Mapping[str, Any]]:
    """List the entries of an index that are for one of *platforms*; for none means for all. What is no mapping is left out."""
    listed = document.get("manifests")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return [entry for entry in entries if not platforms or any(each.fits(entry) for each in platforms)]
