"""The volume room: volumes, snapshots, attachments, backups, types.

Decides which block storage there is, whose it is, where it lies and who may use it now. Calls image for bytes.
One manager, several back ends at once; a driver each: fake (pretends), file, and what others install.
"""
