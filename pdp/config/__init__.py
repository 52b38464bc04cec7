"""Settings: the only reader of files and environment for them. One frozen `Settings`, checked at start."""

from pdp.config.peps import Profile
from pdp.config.reading import Address, ConfigError
from pdp.config.settings import Settings, load, reference

__all__ = ["Address", "ConfigError", "Profile", "Settings", "load", "reference"]
