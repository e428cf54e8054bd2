"""Every error the cloud can tell, by what its receiver does next.

    Error                    anything we say on purpose
    +-- BadRequest           the caller must change the request          400
    |   +-- TooLarge         ... make it smaller                         413
    +-- Unauthorized         the caller must prove who it is             401
    +-- Forbidden            the caller may not                          403
    |   +-- QuotaExceeded    ... until something is given back           403 or as the API says
    +-- NotFound             look elsewhere                              404
    +-- Conflict             look at the state, then try again           409
    |   +-- InUse            ... free it first
    |   +-- Duplicate        ... it is there already
    |   +-- WrongState       ... wait, or bring it to another state
    |   +-- Stale            ... read again: somebody was faster
    +-- Unavailable          try again later                             503
    |   +-- HostUnreachable  nobody listens there
    |   +-- DeadlineExceeded the time for this was used up
    |   +-- NoValidHost      no host can take it now
    +-- DriverError          the implementation refused; retry or give up  500
    |   +-- NoSpace          ... the device or pool is full
    |   +-- Rejected         ... for good: repeating cannot help
    +-- ConfigError          an operator must change the configuration
    +-- RemoteError          another host raised what is not in this tree  500

An error is one sentence and facts. `type` names it to APIs that name errors (Neutron's "NeutronError").
"""

from typing import Any


class Error(Exception):
    """One sentence for the person at the other end, and facts for the program there."""

    status = 500

    def __init__(self, message: str = "", /, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    @property
    def type(self) -> str:
        """The error's name in the API: the fact `type`, or the class."""
        return str(self.facts.get("type") or type(self).__name__)

    def __str__(self) -> str:
        return self.message


class BadRequest(Error):
    status = 400


class TooLarge(BadRequest):
    status = 413


class Unauthorized(Error):
    status = 401


class Forbidden(Error):
    status = 403


class QuotaExceeded(Forbidden):
    status = 403


class NotFound(Error):
    status = 404


class Conflict(Error):
    status = 409


class InUse(Conflict):
    pass


class Duplicate(Conflict):
    pass


class WrongState(Conflict):
    pass


class Stale(Conflict):
    pass


class Unavailable(Error):
    status = 503


class HostUnreachable(Unavailable):
    pass


class DeadlineExceeded(Unavailable):
    pass


class NoValidHost(Unavailable):
    pass


class DriverError(Error):
    status = 500


class NoSpace(DriverError):
    pass


class Rejected(DriverError):
    pass


class ConfigError(Error):
    status = 500


class RemoteError(Error):
    status = 500


def family() -> dict[str, type[Error]]:
    """Every error class by name: what may cross the bus and come back as itself."""
    found: dict[str, type[Error]] = {}
    todo: list[type[Error]] = [Error]
    while todo:
        cls = todo.pop()
        found[cls.__name__] = cls
        todo.extend(cls.__subclasses__())
    return found


def rebuild(name: str, message: str, facts: dict[str, Any]) -> Error:
    """The error that was raised far away, as the same class; RemoteError when its name is not ours."""
    cls = family().get(name)
    if cls is None:
        return RemoteError(f"{name}: {message}" if message else name, kind=name)
    return cls(message, **facts)
