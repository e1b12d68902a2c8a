"""YAML and environment, validated by pydantic, into the very types the code uses."""

from regproxy.config.loading import load, overlooked
from regproxy.config.mistakes import ConfigError
from regproxy.config.settings import Downloads, Settings, StoreSettings, UncachedRanges
from regproxy.config.timeouts import Timeouts
from regproxy.config.units import Address

__all__ = ["Address", "ConfigError", "Downloads", "Settings", "StoreSettings", "Timeouts", "UncachedRanges", "load", "overlooked"]
