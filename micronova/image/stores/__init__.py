"""Drivers of the image room: places that keep bytes on one host."""
