"""Error messages for a configuration that cannot be used."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from regproxy.config.model import Model, Place
from regproxy.config.units import duration_text

_SECRETS = frozenset({"credentials", "admin_tokens"})  # the keys under which nothing is shown
_KEYS = frozenset({("redis", "key"), ("fleet", "key"), ("behind", "key"), ("token_key",)})  # nor here
_SHOWN = 80
_KEY = "[key]"  # pydantic: the mistake is in the key itself
_PREDICATES = {
    "missing": "is missing",
    "model_type": "must be a mapping (key: value)",
    "dict_type": "must be a mapping (key: value)",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list",
    "string_type": "must be text",
    "path_type": "must be a path",
    "too_short": "must not be empty",
    "greater_than": "must be more than 0s",
    "greater_than_equal": "must not be negative",
    "invalid_key": "is not a key",
}


class ConfigError(Exception):
    """The configuration cannot be used; *mistakes* are lines for the operator."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        """Report *mistakes*, one line each; at least one."""
        super().__init__("\n".join(mistakes))
        self.mistakes = list(mistakes)


class Mistake(NamedTuple):
    """What is wrong at a place, as a predicate."""

    place: Place
    predicate: str
    is_about_value: bool = True  # or else about the key, whose value may be a secret for all we know


def named(place: Place) -> str:
    """Write a place as an operator would: `upstreams.docker.io.hosts[0].url`."""
    text = ""
    for index, part in enumerate(place):
        if isinstance(part, str) and _may_be_secret(place[:index]):
            part = re.sub(r"[^\w-].*", "...", part)  # `{password:hunter2}` is a key, for want of a space
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def quoted(place: Place, value: object) -> str:
    """Quote a value of the file, unless it is or may contain a secret."""
    if not isinstance(value, str) or _may_be_secret(place) or "@" in value or "?" in value:
        return ""
    if place[-1:] in {("proxy",), ("secret",)} or place[-2:] in _KEYS:
        return ""
    return f"{value[:_SHOWN]!r} "


def found(error: ValidationError, model: type[Model]) -> Iterator[Mistake]:
    """Translate pydantic's findings."""
    for detail in error.errors(include_url=False, include_input=False):
        place = tuple(part for part in detail["loc"] if part != _KEY)
        if detail["type"] == "extra_forbidden":
            yield Mistake(place, _unknown(_model_at(place[:-1], model), str(place[-1])), is_about_value=False)
        else:
            yield Mistake(place, _predicate(detail))


def _predicate(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "enum" | "literal_error":
            return f"is not one of {context['expected'].replace(' or ', ', ').replace(chr(39), '')}"
        case "greater_than_equal" if least := context["ge"]:
            return f"must be at least {least}"
        case "less_than_equal":
            most = context["le"]
            return f"must be at most {duration_text(most) if isinstance(most, float) else most}"
        case kind:
            return _PREDICATES.get(kind, detail["msg"])


def _unknown(model: type[Model], key: str) -> str:
    if key in model.later:
        return "is not supported by this version yet"
    if (now := model.renamed.get(key.lower())) is not None:
        return f"was renamed: it is {now} now"
    from difflib import get_close_matches  # noqa: PLC0415  most make no mistake

    near = get_close_matches(key.lower(), model.model_fields, n=1)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known here: {', '.join(model.model_fields)}"


def places(model: type[Model], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """List every key of a file that has a name of ours, and the keys below it."""
    for name, field in model.model_fields.items():
        yield (*above, name)
        inner = _model_in(field.annotation)
        if inner is not None:
            yield from places(inner, (*above, name))


def _model_at(place: Place, model: type[Model]) -> type[Model]:
    for part in place:
        field = model.model_fields.get(str(part))
        model = (field and _model_in(field.annotation)) or model  # neither a list's index nor an upstream's name changes the model
    return model


def _model_in(annotation: object) -> type[Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _may_be_secret(place: Place) -> bool:
    """Report whether what is at *place*, or below it, may be a secret; a timeout has the name of what a host is sent."""
    return not _SECRETS.isdisjoint(place) or ("headers" in place and "timeouts" not in place)
