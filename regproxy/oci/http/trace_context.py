"""The trace that a request belongs to, as `traceparent` and `tracestate` say (W3C Trace Context, level 2)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Level 2, 3.2: of a later version the fields of 00 are read, and whatever follows behind a dash is not.
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_KNOWN_FLAGS = 0x03  # sampled, random; all others are sent as zero (3.2.2.5)
_SAMPLED = 0x01
# 3.3.1: keys of vendors and of tenants; a value ends in no space.
_MEMBER = re.compile(
    r"([a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
_MAX_MEMBERS = 32  # 3.3.1
_MAX_STATE_CHARACTERS = 512  # 3.3.1.5: as many have to be passed on; who sends more has the whole list dropped


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace, and the span of it that is the parent of what is done next."""

    trace_id: str  # 32 hexadecimal digits
    span_id: str  # 16
    flags: int
    state: str = ""  # what tracing systems tell each other; empty where nothing that can be read came

    @property
    def is_sampled(self) -> bool:
        return bool(self.flags & _SAMPLED)

    def headers(self) -> Mapping[str, str]:
        """Return the headers of a request that is made for the trace."""
        parent = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"}
        return parent | {"tracestate": self.state} if self.state else parent


def parse_trace_context(parents: Sequence[str], states: Sequence[str] = ()) -> TraceContext | None:
    """Read the fields of both names; None where the trace is not said, not valid, or said twice.

    A `tracestate` that is not valid is dropped, and the trace goes on without it (3.3).
    """
    if len(parents) != 1:
        return None
    found = _PARENT.fullmatch(parents[0].strip(" \t"))
    if found is None or (found[1] == "00" and found[5] is not None):
        return None
    return TraceContext(found[2], found[3], int(found[4], 16) & _KNOWN_FLAGS, _state(states))


def _state(fields: Sequence[str]) -> str:
    """Return the members of the list in their order, or nothing where one of them, or all of it, is not as it has to be."""
    text = ",".join(fields)
    if len(text) > _MAX_STATE_CHARACTERS:
        return ""
    members = [member for each in text.split(",") if (member := each.strip(" \t"))]
    keys = [found[1] for member in members if (found := _MEMBER.fullmatch(member))]
    is_valid = len(keys) == len(members) <= _MAX_MEMBERS and len(set(keys)) == len(keys)
    return ",".join(members) if is_valid else ""
