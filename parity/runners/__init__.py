"""Runners: one backend a file, each a context manager with one verb, ``run``."""
