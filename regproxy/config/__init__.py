"""YAML and environment, validated by pydantic, into the very types the code uses."""

from regproxy.config.loading import load
from regproxy.config.mistakes import ConfigError
from regproxy.config.settings import Settings, StoreSettings, Timeouts
from regproxy.config.units import Address

__all__ = ["Address", "ConfigError", "Settings", "StoreSettings", "Timeouts", "load"]
