"""Modelway: one API key and one base URL for every model."""

__version__ = "0.1.0"
