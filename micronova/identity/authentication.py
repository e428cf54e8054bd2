"""Who asks: proving it, tokens, and whether a token still counts.

Revocation at once, in every process: whatever may end or alter a token advances the row `identity_epoch` in its own
transaction. Every use of a token reads that one row (some 15 microseconds inline on SQLite); only when it moved since
the token was last looked at, user, scope, roles and revocations are read again (sessions.py). Nothing is taken from
memory on trust.
"""

from functools import cached_property, partial

import msgspec

from micronova.clock import after
from micronova.context import Context
from micronova.db import Less, Tx
from micronova.errors import NotFound, Unauthorized
from micronova.identity import db, keys, tokens
from micronova.identity.base import IdentityBase
from micronova.identity.db import AppCredential, Revocation, User
from micronova.identity.keys import Keys
from micronova.identity.requests import AppCredentialProof, Auth, Proofs, UserRef
from micronova.identity.sessions import (
    Memory,
    Session,
    begin,
    check_user_ref,
    expecting,
    find_app_credential,
    find_user,
    look,
    refuse,
)
from micronova.identity.tokens import Claims
from micronova.manager import periodic

REMEMBERED = 20_000
"""Tokens that are remembered by a process, about 2 KiB each."""


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """What the methods of a request proved. `base` is the token that was one of the proofs."""

    user: User
    methods: tuple[str, ...]
    base: Session | None = None
    app_credential: AppCredential | None = None


class Authentication(IdentityBase):
    """Sessions: begun by a proof, carried by a token, ended at once."""

    @cached_property
    def _known(self) -> dict[str, Session]:
        """Sessions by token, oldest first: at most REMEMBERED."""
        return {}

    @cached_property
    def _memory(self) -> Memory:
        return Memory()

    # -- using a token

    async def authenticate(self, token: str) -> Context:
        """The identity behind a token. Raises Unauthorized when it does not count."""
        return (await self.session(token)).context

    async def session(self, token: str) -> Session:
        """All a token says. Raises Unauthorized when it does not count (any more)."""
        epoch = await self.db.ask(db.epoch)
        known = self._known.get(token)
        if known is None or known.epoch != epoch:
            claims = known.claims if known is not None else tokens.unseal(token, await self._keys(epoch))
            if claims is None:
                refuse()
            try:
                known = await self.db.read(partial(look, claims=claims, memory=self._memory))
            except Unauthorized:
                self._known.pop(token, None)
                raise
            self._remember(token, known)
        if known.claims.expires_at <= self.clock.now():
            self._known.pop(token, None)
            refuse()
        return known

    def _remember(self, token: str, session: Session) -> None:
        if len(self._known) >= REMEMBERED and token not in self._known:
            self._known.pop(next(iter(self._known)))
        self._known[token] = session

    async def _keys(self, epoch: int) -> Keys:
        """The token keys as of an identity epoch: a rotation is a new epoch."""
        if self.keys.epoch != epoch:
            self.keys.use(await self.db.read(keys.newest_first), epoch)
        return self.keys

    async def rotate_keys(self, ctx: Context) -> None:
        """Seal with a new key from now on, in every process."""

        def rotate(tx: Tx) -> None:
            keys.add(tx, self.clock)
            db.advance(tx)

        await self.db.write(rotate, ctx, why="a new token key")

    # -- beginning and ending

    async def issue(self, auth: Auth) -> tuple[str, Session]:
        """A new token for whoever the request proves to be, and what it says.

        Raises Unauthorized, without saying which part is wrong; BadRequest for a request that can't be understood.
        """
        proven = await self._prove(auth.identity)
        now = self.clock.now()
        expires_at = after(self.clock, self.config.options.identity.token_seconds)
        audit_ids: tuple[str, ...] = (self._audit_id(),)
        if proven.base is not None:
            expires_at = proven.base.claims.expires_at
            audit_ids = (*audit_ids, proven.base.claims.audit_ids[-1])
        if proven.app_credential is not None and proven.app_credential.expires_at is not None:
            expires_at = min(expires_at, proven.app_credential.expires_at)
        plain = Claims(
            user_id=proven.user.id,
            methods=proven.methods,
            issued_at=now,
            expires_at=expires_at,
            audit_ids=audit_ids,
            user_epoch=proven.user.token_epoch,
            app_credential_id=proven.app_credential.id if proven.app_credential else "",
        )
        session = await self.db.read(partial(begin, plain=plain, wanted=auth.scope, memory=self._memory))
        token = tokens.seal(session.claims, await self._keys(session.epoch))
        self._remember(token, session)
        return token, session

    async def revoke(self, ctx: Context, session: Session) -> None:
        """End one token, everywhere and at once."""
        row = Revocation(id=session.claims.audit_ids[0], expires_at=session.claims.expires_at)

        def record(tx: Tx) -> None:
            if tx.first(Revocation, id=row.id) is None:
                tx.insert(row)
                db.advance(tx)

        await self.db.write(record, ctx, why="token given back")

    @periodic(every=3600)
    async def forget_revocations(self, ctx: Context) -> None:
        """Remove revocations of tokens that have expired anyway."""

        def sweep(tx: Tx) -> None:
            for row in tx.find(Revocation, expires_at=Less(tx.now), limit=10_000):
                tx.delete(row)

        await self.db.write(sweep, ctx, why="the tokens have expired")

    def _audit_id(self) -> str:
        return tokens.audit_id(self.clock.secret(16))

    # -- proofs

    async def _prove(self, proofs: Proofs) -> Proven:
        if not proofs.methods:
            refuse()
        found: list[Proven] = []
        for method in dict.fromkeys(proofs.methods):
            match method:
                case "password" if proofs.password:
                    found.append(await self._by_password(proofs.password.user))
                case "token" if proofs.token:
                    found.append(await self._by_token(proofs.token.id))
                case "application_credential" if proofs.application_credential:
                    found.append(await self._by_app_credential(proofs.application_credential))
                case "password" | "token" | "application_credential":
                    raise expecting(method, "identity")
                case _:
                    raise Unauthorized("Attempted to authenticate with an unsupported method.")
        if any(proven.user.id != found[0].user.id for proven in found):
            refuse()
        names = {name for proven in found for name in proven.methods}
        base = next((proven.base for proven in found if proven.base), None)
        app_credential = next((proven.app_credential for proven in found if proven.app_credential), None)
        methods = tuple(name for name in tokens.METHODS if name in names)
        return Proven(user=found[0].user, methods=methods, base=base, app_credential=app_credential)

    async def _by_password(self, ref: UserRef) -> Proven:
        if ref.password is None:
            raise expecting("password", "user")
        check_user_ref(ref)
        user = await self.db.read(partial(find_user, ref=ref))
        right = await self.passwords.verify(user.password_hash if user else "", ref.password)
        if user is None or not right:
            refuse()
        return Proven(user=user, methods=("password",))

    async def _by_token(self, token: str) -> Proven:
        try:
            session = await self.session(token)
        except Unauthorized as err:
            raise NotFound("Failed to validate token") from err
        return Proven(
            user=session.user,
            methods=(*session.claims.methods, "token"),
            base=session,
            app_credential=session.app_credential,
        )

    async def _by_app_credential(self, proof: AppCredentialProof) -> Proven:
        if proof.id is None:
            if proof.name is None or proof.user is None:
                raise expecting("id or name and user", "application_credential")
            check_user_ref(proof.user)
        found = await self.db.read(partial(find_app_credential, proof=proof))
        right = await self.passwords.verify(found[0].secret_hash if found else "", proof.secret)
        if found is None or not right:
            refuse()
        if found[0].expires_at is not None and found[0].expires_at <= self.clock.now():
            refuse()
        return Proven(user=found[1], methods=("application_credential",), app_credential=found[0])
