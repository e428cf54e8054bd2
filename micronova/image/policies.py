"""Who may do what with images: the defaults, in oslo.policy's language, under Glance's names.

Whether an image can be seen at all (its visibility, its members) is decided by the manager, not here: what can't be
seen is not found. Targets have project_id and owner (the image's owner), visibility, and member_id.
"""

_READER = "rule:project_reader or rule:admin"
_MEMBER = "rule:project_member or rule:admin"

RULES: dict[str, str] = {
    "add_image": "rule:admin or (role:member and project_id:%(owner)s)",
    "delete_image": _MEMBER,
    "get_image": "rule:admin or role:reader",
    "get_images": "rule:admin or role:reader",
    "modify_image": _MEMBER,
    "publicize_image": "rule:admin",
    "communitize_image": _MEMBER,
    "download_image": "rule:admin or role:member",
    "upload_image": _MEMBER,
    "add_member": _MEMBER,
    "delete_member": _MEMBER,
    "get_member": f"{_READER} or (role:reader and project_id:%(member_id)s)",
    "get_members": f"{_READER} or (role:reader and project_id:%(member_id)s)",
    "modify_member": "rule:admin or (role:member and project_id:%(member_id)s)",
    "deactivate": _MEMBER,
    "reactivate": _MEMBER,
}
