"""The identity manager: its parts by noun, put together, and what a new cloud starts with."""

from collections.abc import Sequence

from micronova.context import Context
from micronova.db import Tx
from micronova.identity import db, keys
from micronova.identity.assignments import Assignments
from micronova.identity.authentication import Authentication
from micronova.identity.catalog import Catalog
from micronova.identity.credentials import Credentials
from micronova.identity.db import SYSTEM, Assignment, CatalogService, Endpoint, Implied, Project, Region, Role, User
from micronova.identity.projects import Projects
from micronova.identity.roles import Roles
from micronova.identity.users import Users

DEFAULT_DOMAIN = "default"
ROLES = ("admin", "manager", "member", "reader", "service")
IMPLIES = (("admin", "manager"), ("manager", "member"), ("member", "reader"))
INTERFACES = ("admin", "internal", "public")


class IdentityManager(Authentication, Projects, Users, Roles, Assignments, Catalog, Credentials):
    """Users, projects, roles, the catalog, and who asks."""

    async def bootstrap(
        self,
        ctx: Context,
        password: str,
        demo_password: str = "",
        services: Sequence[tuple[str, str, str]] = (),
    ) -> None:
        """Make what a new cloud starts with; what exists stays as it is. Safe to repeat.

        `services` are (type, name, path) for the catalog. User demo, a plain member of project demo, is made when it
        gets a password.
        """
        known = await self.db.read(lambda tx: {user.name for user in tx.find(User, domain_id=DEFAULT_DOMAIN)})
        wanted = {"admin": password, "demo": demo_password}
        hashes = {name: await self.passwords.hash(p) for name, p in wanted.items() if p and name not in known}

        def record(tx: Tx) -> None:
            self._tenants(tx)
            roles = self._roles(tx)
            self._users(tx, hashes, roles)
            for type_, name, path in services:
                self._service(tx, type_, name, path)
            if not keys.newest_first(tx):
                keys.add(tx, self.clock)
            db.advance(tx)

        await self.db.write(record, ctx, why="what a new cloud starts with")

    def _tenants(self, tx: Tx) -> None:
        if tx.first(Project, id=DEFAULT_DOMAIN) is None:
            words = "The default domain"
            tx.insert(Project(id=DEFAULT_DOMAIN, name="Default", domain_id="", is_domain=True, description=words))
        for name in ("admin", "demo", "service"):
            if tx.first(Project, domain_id=DEFAULT_DOMAIN, name=name) is None:
                home = DEFAULT_DOMAIN
                tx.insert(Project(id=self.new_id(), name=name, domain_id=home, parent_id=home))

    def _roles(self, tx: Tx) -> dict[str, Role]:
        found = {}
        for name in ROLES:
            role = tx.first(Role, name=name, domain_id="")
            found[name] = role or tx.insert(Role(id=self.new_id(), name=name, options={"immutable": True}))
        for prior, implied in IMPLIES:
            prior_id, implied_id = found[prior].id, found[implied].id
            if tx.first(Implied, prior_id=prior_id, implied_id=implied_id) is None:
                tx.insert(Implied(id=self.new_id(), prior_id=prior_id, implied_id=implied_id))
        return found

    def _users(self, tx: Tx, hashes: dict[str, str], roles: dict[str, Role]) -> None:
        for name, hashed in hashes.items():
            if tx.first(User, domain_id=DEFAULT_DOMAIN, name=name) is not None:
                continue
            user = tx.insert(User(id=self.new_id(), name=name, domain_id=DEFAULT_DOMAIN, password_hash=hashed))
            project = tx.first(Project, domain_id=DEFAULT_DOMAIN, name=name)
            if project is not None:
                self._give(tx, user, roles["admin" if name == "admin" else "member"], "project", project.id)
            if name == "admin":
                self._give(tx, user, roles["admin"], "system", SYSTEM)
                self._give(tx, user, roles["admin"], "domain", DEFAULT_DOMAIN)

    def _give(self, tx: Tx, user: User, role: Role, target: str, target_id: str) -> None:
        tx.insert(
            Assignment(
                id=self.new_id(), actor="user", actor_id=user.id, target=target, target_id=target_id, role_id=role.id
            )
        )

    def _service(self, tx: Tx, type_: str, name: str, path: str) -> None:
        region = self.config.options.api.region
        if tx.first(Region, id=region) is None:
            tx.insert(Region(id=region))
        if tx.first(CatalogService, type=type_, name=name) is not None:
            return
        service = tx.insert(CatalogService(id=self.new_id(), type=type_, name=name))
        for interface in INTERFACES:
            row = Endpoint(id=self.new_id(), service_id=service.id, region_id=region, interface=interface, url=path)
            tx.insert(row)
