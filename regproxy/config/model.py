"""What every mapping of the configuration file has in common."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

Place: TypeAlias = tuple[str | int, ...]
"""Where in the document: `("upstreams", "docker.io", "hosts", 0)`."""


class Model(BaseModel):
    """A mapping of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True, defer_build=True)
    later: ClassVar[frozenset[str]] = frozenset()  # keys of the contract that no code obeys yet
    renamed: ClassVar[Mapping[str, str]] = {}  # keys of earlier versions, and what they are called now

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_set(cls, value: object) -> object:
        """Treat a key whose children are all commented out as not set."""
        if not isinstance(value, dict):
            return value
        return {key: each for key, each in value.items() if each is not None or key not in cls.model_fields}


def _no_tilde(value: Path) -> Path:
    if value.parts[:1] and value.parts[0].startswith("~"):
        raise ValueError("must be written in full: ~ is not expanded here")
    return value


Whole: TypeAlias = Annotated[Path, AfterValidator(_no_tilde)]
"""A path that needs no shell."""
