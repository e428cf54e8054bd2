"""What the parts of the API share: whether a caller may reach one row; the policy is asked with facts of the row.

Who may not is told 403 for a row that exists and for one that does not, so that nobody can probe for ids.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from micronova.errors import NotFound
from micronova.http import Request, Route
from micronova.identity.manager import IdentityManager

R = TypeVar("R")


class Part(ABC):
    """Handlers of some nouns."""

    def __init__(self, manager: IdentityManager) -> None:
        self.manager = manager
        self.policy = manager.policy
        self.most = manager.config.options.api.max_page

    @abstractmethod
    def routes(self) -> Sequence[Route]:
        """The routes of this part."""

    async def reach(
        self, request: Request, rule: str, load: Callable[[], Awaitable[R]], target: Callable[[R], Mapping[str, Any]]
    ) -> R:
        """The row that `load` gives, if the caller passes `rule` for it.

        Raises Forbidden when not; NotFound only to those who could reach it.
        """
        try:
            row = await load()
        except NotFound:
            self.policy.require(request.ctx, rule, {})
            raise
        self.policy.require(request.ctx, rule, target(row))
        return row

    def require(self, request: Request, rule: str, **target: str) -> None:
        """Return when the caller passes `rule` for the target. Raises Forbidden when not."""
        self.policy.require(request.ctx, rule, target)

    def domain_only(self, request: Request, rule: str) -> dict[str, str]:
        """The condition on `domain_id` that a list is under for this caller: none, or its own domain.

        Raises Forbidden when the caller passes `rule` nowhere.
        """
        ctx = request.ctx
        if self.policy.allows(ctx, rule, {}):
            return {}
        self.policy.require(ctx, rule, {"domain_id": ctx.domain_id})
        return {"domain_id": ctx.domain_id}

    def require_home(self, request: Request, rule: str, domain_id: str) -> None:
        """Like `require` for a creation: in the domain asked for, else in the caller's."""
        self.require(request, rule, domain_id=domain_id or request.ctx.domain_id)
