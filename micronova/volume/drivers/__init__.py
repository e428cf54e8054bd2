"""Implementations of VolumeDriver: each knows one way to keep blocks on this host."""
