"""micronova: a small cloud that speaks the OpenStack API. Smart managers, dumb data."""

__version__ = "0.1.0"
