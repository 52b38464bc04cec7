"""Chaperone: a policy decision point for services that guard electronic patient data."""

__version__ = "0.3.0"
