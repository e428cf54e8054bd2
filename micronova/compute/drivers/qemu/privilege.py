"""As whom QEMU runs: an ordinary user without capabilities where this host allows it, inside QEMU's own sandbox.

QEMU's `-runas` cannot be used together with its sandbox, which forbids changing the user; `setpriv` gives the
rights up before QEMU starts. Network taps are opened by us and handed over, so QEMU needs no right to open them.
"""

import os
import pathlib
import pwd
import stat

import msgspec

USERS = ("micronova-qemu", "libvirt-qemu", "nobody")
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
KVM = pathlib.Path("/dev/kvm")


class Privilege(msgspec.Struct, frozen=True, kw_only=True):
    """Who QEMU is on this host. `uid` None: whoever we are; then `reason` says why."""

    uid: int | None = None
    gid: int = 0
    groups: tuple[int, ...] = ()
    reason: str = ""

    def command(self) -> list[str]:
        """What to put before QEMU's own command line."""
        if self.uid is None:
            return []
        groups = [f"--groups={','.join(map(str, self.groups))}"] if self.groups else ["--clear-groups"]
        return [
            "setpriv",
            f"--reuid={self.uid}",
            f"--regid={self.gid}",
            *groups,
            "--inh-caps=-all",
            "--bounding-set=-all",
            "--no-new-privs",
        ]


def choose(user: str | None = None) -> Privilege:
    """The user to run QEMU as: `user`, or the first of USERS this host has; none when we are not root."""
    if os.geteuid() != 0:
        return Privilege(reason="the service itself is not root")
    for name in [user] if user else USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Privilege(uid=entry.pw_uid, gid=entry.pw_gid, groups=_kvm_group())
    return Privilege(reason=f"this host has no user {user or USERS[-1]}")


def give(path: pathlib.Path, privilege: Privilege) -> None:
    """The file belongs to QEMU's user, so that it may write it. Raises OSError."""
    if privilege.uid is not None:
        os.chown(path, privilege.uid, privilege.gid, follow_symlinks=False)


def may_read(path: pathlib.Path, privilege: Privilege) -> bool:
    """Whether QEMU's user can open `path`, a file in the folder QEMU runs in.

    Only a symbolic link leads out of that folder, and then every folder on the way must let QEMU pass.
    """
    if privilege.uid is None:
        return True
    try:
        target = path.resolve(strict=True)
        folders = target.parents if path.is_symlink() else []
        return _allows(target, privilege, stat.S_IRUSR) and all(
            _allows(folder, privilege, stat.S_IXUSR) for folder in folders
        )
    except OSError:
        return False


def may_open(device: pathlib.Path, privilege: Privilege) -> bool:
    """Whether QEMU's user can open a device for reading and writing."""
    if privilege.uid is None:
        return True
    try:
        return _allows(device, privilege, stat.S_IRUSR) and _allows(device, privilege, stat.S_IWUSR)
    except OSError:
        return False


def _allows(path: pathlib.Path, privilege: Privilege, owner_bit: int) -> bool:
    facts = path.stat()
    if facts.st_uid == privilege.uid:
        return bool(facts.st_mode & owner_bit)
    if facts.st_gid == privilege.gid or facts.st_gid in privilege.groups:
        return bool(facts.st_mode & owner_bit >> 3)
    return bool(facts.st_mode & owner_bit >> 6)


def _kvm_group() -> tuple[int, ...]:
    try:
        facts = KVM.stat()
    except OSError:
        return ()
    return (facts.st_gid,) if facts.st_mode & stat.S_IWGRP and facts.st_gid else ()
