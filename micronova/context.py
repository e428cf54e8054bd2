"""Who asks, in which request, until when: the first argument everywhere."""

from datetime import datetime

import msgspec

from micronova.clock import Clock


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """One request's identity. Travels with every call and every durable task."""

    request_id: str
    user_id: str = ""
    user_name: str = ""
    project_id: str = ""
    project_name: str = ""
    domain_id: str = ""
    user_domain_id: str = ""
    project_domain_id: str = ""
    system_scope: bool = False
    roles: tuple[str, ...] = ()
    is_admin: bool = False
    deadline_at: datetime | None = None

    def elevated(self) -> "Context":
        """The same request with an administrator's rights: for what a manager does on its own account."""
        return self if self.is_admin else msgspec.structs.replace(self, is_admin=True)

    def until(self, deadline_at: datetime) -> "Context":
        """The same request, to be finished by `deadline_at`, or earlier if it had to be already."""
        if self.deadline_at is not None and self.deadline_at <= deadline_at:
            return self
        return msgspec.structs.replace(self, deadline_at=deadline_at)


def admin_context(clock: Clock) -> Context:
    """A new request of the cloud's own: periodic work, `init_host`, recovery."""
    return Context(request_id=f"req-{clock.new_id()}", is_admin=True, roles=("admin",))
