"""Patterns of names, by the package `google-re2` (extra `regproxy[sigstore]`): the syntax that cosign takes, matched in linear time.

A subject is chosen by whoever gets a certificate, and a pattern that backtracks would be theirs to keep busy. Source: RE2's wiki, Syntax.
"""

import re2

_MAX_PATTERN = 1_000  # characters
_MAX_MEMORY = 1024 * 1024  # bytes of a compiled pattern


class InvalidPattern(ValueError):
    """The text is no pattern that is taken."""


class Pattern:
    """Names that match as a whole: `a|b` matches `a` and `b`, and nothing that contains one of them."""

    def __init__(self, text: str) -> None:
        """Compile *text*; raise `InvalidPattern`."""
        if len(text) > _MAX_PATTERN:
            raise InvalidPattern(f"a pattern of more than {_MAX_PATTERN} characters")
        options = re2.Options()
        options.max_mem, options.log_errors = _MAX_MEMORY, False
        try:
            self._compiled = re2.compile(text, options)
        except re2.error as error:
            [said] = error.args
            raise InvalidPattern(f"no pattern of RE2: {said.decode(errors='replace') if isinstance(said, bytes) else said}") from error

    def matches(self, name: str) -> bool:
        """Report whether all of *name* matches."""
        return self._compiled.fullmatch(name) is not None
