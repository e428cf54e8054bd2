"""Implementations of NetworkDriver, one per file."""
