"""Repository names as a host has them: regular expressions and replacements, as `rewrite` of k3s and RKE2 in registries.yaml.

Operators write the expressions and clients the names, so an expression that could take long for some name is refused: the ways to match it
are counted, and names are short. What is allowed is what both RE2 and Python understand. RE2 itself would match in linear time, but its
package replaces `$` twice, has no wheels for musl, and takes 4 MB of each process; and `(?:a?){900}c|a`, tried at each character of a name,
takes a second there too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from regproxy.oci.reference import is_name

_MAX_LENGTH = 256  # characters of an expression or replacement; of a name there are no more than 255
_MAX_WAYS = 2**17  # to match one name, some milliseconds at most: `^(.*)/(.*)$` has 2**16
_MANY = 256  # repetitions are no more than a name is long
_QUANTIFIER = re.compile(r"(?:[*+?]|\{(\d{1,3})(,?)(\d{0,3})\})\??")
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\[\\]|\\[^A-Za-z0-9]|\\[dwDW])*\]")
_ESCAPE = re.compile(r"\\(?:[^A-Za-z0-9]|[dwDWb])")
_LITERAL = re.compile(r"[^\\()\[\]{}*+?|^$]")
_REPLACEMENT = re.compile(r"[$\\](\d)(?![0-9A-Za-z_])|([a-z0-9._/-])")
_PROBE = "x"  # stands for whatever a group matched


class InvalidRewrite(ValueError):
    """The rule cannot be used; the message is a predicate."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What matches *match* is called *to* at a host, `$1` being what the first group matched."""

    match: str
    to: str

    def __post_init__(self) -> None:
        compiled = _compiled(self.match)
        if any(group > compiled.groups for group in _groups(self.to)):
            raise InvalidRewrite("refers to a group that the expression does not have")


def rewritten(name: str, rules: Sequence[Rewrite], prefix: str = "") -> str | None:
    """Return how a host calls repository *name*: by the first of *rules* that matches, behind *prefix*.

    None where that is no name of a repository, so that the host cannot have it.
    """
    for rule in rules:
        found, count = _compiled(rule.match).subn(partial(_replacement, rule.to), name)
        if count:
            changed = f"{prefix}/{found}" if prefix else found
            return changed if is_name(changed) else None
    return f"{prefix}/{name}" if prefix else name


def _replacement(to: str, match: re.Match[str]) -> str:
    return _REPLACEMENT.sub(lambda part: (match[int(part[1])] or "") if part[1] else part[0], to)


def _groups(to: str) -> list[int]:
    """List the groups that a replacement refers to; raise `InvalidRewrite`."""
    if len(to) > _MAX_LENGTH:
        raise InvalidRewrite(f"is longer than {_MAX_LENGTH} characters")
    rest = _REPLACEMENT.sub("", to)
    if rest:
        raise InvalidRewrite(f"has {rest[:20]!r} in its replacement: it takes what names have, and $1 to $9")
    return [int(part[1]) for part in _REPLACEMENT.finditer(to) if part[1]]


@lru_cache(1024)
def _compiled(text: str) -> re.Pattern[str]:
    """Compile an expression that takes no long time for any name; raise `InvalidRewrite`."""
    if not text or len(text) > _MAX_LENGTH:
        raise InvalidRewrite(f"is empty or longer than {_MAX_LENGTH} characters")
    reader = _Reader(text)
    ways = reader.alternatives()
    if not reader.is_done:
        raise InvalidRewrite("has a ) without a (")
    if reader.has_alternatives or not text.startswith("^"):
        ways *= _MANY  # it is tried from each character on
    if ways > _MAX_WAYS:
        raise InvalidRewrite("could take long: begin it with ^, and repeat less (two * or + are enough)")
    try:
        return re.compile(text, re.ASCII)
    except (re.error, OverflowError) as error:
        raise InvalidRewrite(f"is no regular expression: {error}") from None


class _Reader:
    """Reads an expression and counts the ways in which one name may be matched."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self.has_alternatives = False  # outside groups

    @property
    def is_done(self) -> bool:
        return self._at == len(self._text)

    def alternatives(self) -> int:
        ways = self._sequence()
        while self._takes("|"):
            self.has_alternatives |= self._depth == 0
            ways += self._sequence()
        return ways

    def _sequence(self) -> int:
        ways = 1
        while not self.is_done and self._text[self._at] not in "|)":
            inner, times = self._atom(), self._times()
            if inner > 1 and times != (1, 1):
                raise InvalidRewrite("repeats what itself repeats or chooses, which could take long")
            ways *= inner * (times[1] - times[0] + 1)
            if ways > _MAX_WAYS:
                raise InvalidRewrite("could take long: repeat less (two * or + are enough)")
        return ways

    def _atom(self) -> int:
        """Read one thing to match, and return in how many ways it matches."""
        if self._takes("("):
            if self._takes("?") and not self._takes(":"):
                raise InvalidRewrite("has a group of a kind that is not supported: (...) and (?:...) are")
            self._depth += 1
            ways = self.alternatives()
            self._depth -= 1
            if not self._takes(")"):
                raise InvalidRewrite("has a ( without a )")
            return ways
        for form in (_CLASS, _ESCAPE, _LITERAL):
            if (found := form.match(self._text, self._at)) is not None:
                self._at = found.end()
                return 1
        if self._takes("^") or self._takes("$"):
            return 1
        raise InvalidRewrite(f"has {self._text[self._at]!r} where it is not supported: put \\ in front of it if it is meant as it is")

    def _times(self) -> tuple[int, int]:
        """Read how often that may be repeated, at least and at most."""
        found = _QUANTIFIER.match(self._text, self._at)
        if found is None:
            return 1, 1
        self._at = found.end()
        match found[0][0]:
            case "?":
                return 0, 1
            case "{":
                least = int(found[1])
                most = int(found[3]) if found[3] else _MANY if found[2] else least
                return min(least, _MANY), min(most, _MANY)
        return 0, _MANY

    def _takes(self, sign: str) -> bool:
        taken = self._text.startswith(sign, self._at)
        self._at += taken
        return taken
