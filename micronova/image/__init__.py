"""The image room: images, who sees them, their bytes, and copies of them on this host.

Decides what an image may become, what content is taken in and which of it any tool may open. Calls no other room.
Its drivers keep bytes on one host: file (a folder), fake (memory).
"""
