"""Which images a text names: a list, one a line, or Kubernetes objects in YAML or JSON, as `kubectl get` and `helm template` print them."""

import json
from collections.abc import Iterator
from contextlib import suppress

import yaml

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_MAX_DEPTH = 64
_NEITHER = "this is neither a list of images, one a line, nor objects in YAML or JSON"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as quick, where it is installed


class InvalidImageList(ValueError):
    """The text is neither a list of images nor YAML."""


def images_in(text: str) -> list[str]:
    """Return each image once, in the order of the text; raise `InvalidImageList`.

    Of Kubernetes objects these are the images of containers, wherever their Pod is: in a Deployment, a CronJob, a List, a custom resource.
    """
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    words = [line for line in lines if line]
    if all(_is_plain(word) for word in words):
        return list(dict.fromkeys(words))
    documents = _documents(text)
    seen: set[int] = set()
    return list(dict.fromkeys(image for document in documents for image in _found(document, seen, 0)))


def _documents(text: str) -> list[object]:
    """Read JSON, which is far quicker to read, or YAML."""
    try:
        if text.lstrip().startswith(("{", "[")):
            with suppress(json.JSONDecodeError):
                return [json.loads(text)]
        documents = list(yaml.load_all(text, _LOADER))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidImageList(f"{_NEITHER}: {str(error).splitlines()[0]}") from error
    if not all(isinstance(document, dict | list | None) for document in documents):
        raise InvalidImageList(_NEITHER)
    return documents


def _is_plain(line: str) -> bool:
    return not any(each.isspace() for each in line) and not line.startswith(("{", "[", "-")) and not line.endswith(":")


def _found(value: object, seen: set[int], depth: int) -> Iterator[str]:
    """Look at each object once: a few aliases make a text of a kilobyte a tree of billions."""
    if not isinstance(value, dict | list) or id(value) in seen:
        return
    seen.add(id(value))
    if depth > _MAX_DEPTH:
        raise InvalidImageList(f"the objects are nested more than {_MAX_DEPTH} deep")
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if name in _CONTAINERS and isinstance(inner, list):
            yield from (each["image"] for each in inner if isinstance(each, dict) and isinstance(each.get("image"), str))
        yield from _found(inner, seen, depth + 1)
