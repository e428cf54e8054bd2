"""As whom storage daemons run: an ordinary user without capabilities, who owns the volumes' data and nothing else.

What such a daemon works with is handed to it: its folder as working directory, its sockets as open descriptors. So
that user needs no right to pass the folders above and none to make a file.
"""

import os
import pathlib
import pwd

import msgspec

USERS = ("micronova-volume", "micronova-qemu", "libvirt-qemu", "nobody")
GUESTS = ("micronova-qemu", "libvirt-qemu", "nobody")
"""Who may run guests, and so connects to a volume's socket."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A user of this host. `uid` None: whoever we are; then `reason` says why."""

    uid: int | None = None
    gid: int = 0
    reason: str = ""

    def command(self) -> list[str]:
        """What to put before a command that this user shall run."""
        if self.uid is None:
            return []
        return [
            "setpriv",
            f"--reuid={self.uid}",
            f"--regid={self.gid}",
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
            "--no-new-privs",
        ]

    def give(self, path: pathlib.Path, mode: int = 0o600) -> None:
        """The file is this user's own. Raises OSError."""
        os.chmod(path, mode)
        if self.uid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def choose(user: str = "", known: tuple[str, ...] = USERS) -> Account:
    """The account of `user`, or of the first of `known` that this host has; our own when we are not root."""
    if os.geteuid() != 0:
        return Account(reason="the service itself is not root")
    for name in [user] if user else known:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    return Account(reason=f"this host has no user {user or known[-1]}")
