"""A pull-through caching proxy for container registries."""

from importlib.metadata import version

__version__ = version("regproxy")
