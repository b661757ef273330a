"""Authenticate a request: an access token or an API key becomes an Identity, only here."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer
from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.accounts import users
from db.tables import ApiKey, User
from serve_app.auth import api_keys, permissions, refresh
from serve_app.auth.identity_cache import LookUp
from serve_app.auth.permissions import Permission
from serve_app.auth.rate_limits import take
from serve_app.auth.tokens import AccessClaims
from serve_app.http.dependencies import ClientsDep
from serve_app.http.errors import (
    InvalidToken,
    PermissionMissing,
    ScopeMissing,
    Unauthorized,
)
from serve_app.http.rate_limit import Bucket
from serve_app.http.rates import RateClass
from serve_app.http.request_context import request_context
from serve_app.resources import Clients

_bearer = OAuth2PasswordBearer(
    tokenUrl="/v1/auth/token",
    auto_error=False,
    description="An access token from /v1/auth/token, or an API key.",
)
_SCOPE_KEY = "atelier.identity"
_key_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key (atl_...).")


@dataclass(frozen=True)
class Identity:
    """The authenticated user. A token sets ``family_id`` (its login), an API key ``api_key_id``."""

    user_id: str
    role: str
    plan: str
    scopes: frozenset[str]
    api_key_id: str | None = None
    family_id: str | None = None

    @property
    def is_account(self) -> bool:
        """Whether it came by a log-in or a key; the operator's command has neither."""
        return self.family_id is not None or self.api_key_id is not None

    def may(self, permission: Permission) -> bool:
        """Return whether the token or key has the scope ``admin``, and the role the permission."""
        return "admin" in self.scopes and permissions.allows(self.role, permission)


async def authenticate(request: Request, clients: Clients, kind: RateClass = "read") -> Identity:
    """Authenticate a request by its headers, and count it against the rates of the user's plan,
    as one of class ``kind``.

    The first call of a request does it, later ones return the same.

    Raises:
        Unauthorized: the request has no token and no key.
        InvalidToken: the token or key is not valid.
        RateLimited: the user, or the key, sent too many requests.
    """
    known: Identity | None = request.scope.get(_SCOPE_KEY)
    if known is not None:
        return known
    identity = await _from_headers(clients, await _bearer(request), await _key_header(request))
    context = request_context(request)
    context.user_id = identity.user_id
    context.response_headers.update(await count_request(clients, identity, kind))
    request.scope[_SCOPE_KEY] = identity
    return identity


async def authenticate_secret(clients: Clients, secret: str | None) -> Identity:
    """Authenticate whoever sent an access token or an API key; raises as ``authenticate`` does."""
    identity = await _from_headers(clients, secret, None)
    await count_request(clients, identity, "read")
    return identity


async def count_request(clients: Clients, identity: Identity, kind: RateClass) -> dict[str, str]:
    """Count a request of a user and their key, and return the headers that tell of it.

    Raises:
        RateLimited: too many were sent; its headers tell the same.
    """
    buckets = [Bucket(kind, identity.user_id, clients.rates.of_user(identity.plan)[kind])]
    if identity.api_key_id is not None:
        rate = clients.rates.of_key(identity.plan)[kind]
        buckets.append(Bucket(f"{kind}-key", identity.api_key_id, rate))
    return await take(clients, kind, *buckets)


async def is_still_valid(clients: Clients, identity: Identity) -> bool:
    """Return whether the key or login of an earlier request would be let in now."""
    if identity.api_key_id is not None:
        ended = exists().where(ApiKey.id == identity.api_key_id, api_keys.is_over())
    else:
        ended = refresh.is_revoked(identity.family_id or "")
    # Of a deleted account no log-in is left that could be found revoked.
    shut = exists().where(User.id == identity.user_id, ~users.IS_OPEN)
    async with clients.statements() as session:
        return not await session.scalar(select(or_(ended, shut)))


async def hold_role(session: AsyncSession, identity: Identity) -> None:
    """Keep the role by which the request was let in until the transaction ends.

    What the transaction makes under it is so there for whoever changes the role to find.

    Raises:
        InvalidToken: the account was disabled or deleted meanwhile.
        ScopeMissing: it has another role by now.
    """
    role = (await users.lock_roles(session, [identity.user_id])).get(identity.user_id)
    if role is None:
        raise InvalidToken
    if role != identity.role:
        raise ScopeMissing("Your role was changed at this moment; send the request again.")


async def identify(
    request: Request,
    clients: ClientsDep,
    _token: Annotated[str | None, Security(_bearer)] = None,
    _key: Annotated[str | None, Security(_key_header)] = None,
) -> Identity:
    """Dependency of every call that needs to know who asks.

    ``serve_app.routing.Route`` has authenticated the request before its body was read. The two
    schemes are here for the OpenAPI document.
    """
    return await authenticate(request, clients)


async def _from_headers(clients: Clients, bearer: str | None, key: str | None) -> Identity:
    if bearer and key and not hmac.compare_digest(bearer.encode(), key.encode()):
        raise InvalidToken("Send either Authorization or X-API-Key, not two different ones.")
    secret = bearer or key
    if not secret:
        raise Unauthorized
    if secret.startswith(api_keys.PREFIX):
        return await _from_api_key(clients, secret)
    if bearer is None:
        raise InvalidToken
    return await _from_claims(clients, clients.tokens.read(bearer))


async def _from_api_key(clients: Clients, secret: str) -> Identity:
    return await clients.identities.get(
        ("key", api_keys.hash_secret(secret)), partial(_look_up_key, clients, secret)
    )


async def _look_up_key(clients: Clients, secret: str) -> LookUp:
    key = await clients.find_key(secret)
    if key is None:
        raise InvalidToken
    use_due_in_s = key.use_due_in_s
    if use_due_in_s <= 0:
        async with clients.statements() as session:
            await api_keys.record_use(session, key.id)
        use_due_in_s = api_keys.USE_RECORD_INTERVAL.total_seconds()
    scopes = frozenset(key.scopes)
    if not permissions.is_staff(key.role):  # a key of staff outlives the role, its powers do not
        scopes -= {"admin"}
    identity = Identity(key.user_id, key.role, key.plan, scopes, api_key_id=key.id)
    ends_in_s = inf if key.expires_in_s is None else key.expires_in_s
    return LookUp(identity, min(ends_in_s, use_due_in_s))


async def _from_claims(clients: Clients, claims: AccessClaims) -> Identity:
    return await clients.identities.get(
        ("login", claims.family_id, claims.user_id), partial(_look_up_login, clients, claims)
    )


async def _look_up_login(clients: Clients, claims: AccessClaims) -> LookUp:
    async with clients.statements() as session:
        user = (
            await session.execute(
                select(
                    User.role, User.plan, refresh.is_revoked(claims.family_id).label("revoked")
                ).where(User.id == claims.user_id, users.IS_OPEN)
            )
        ).one_or_none()
    if user is None or user.revoked:
        raise InvalidToken
    scopes = api_keys.ALL_SCOPES if permissions.is_staff(user.role) else api_keys.USER_SCOPES
    return LookUp(
        Identity(claims.user_id, user.role, user.plan, scopes, family_id=claims.family_id)
    )


IdentityDep = Annotated[Identity, Depends(identify)]


def require_scope(scope: str) -> Callable[[Identity], Awaitable[Identity]]:
    """Make a dependency that returns the identity if it has ``scope``, else answers 403."""

    async def with_scope(identity: IdentityDep) -> Identity:
        if scope not in identity.scopes:
            raise ScopeMissing(f"This key lacks the scope {scope}.")
        return identity

    return with_scope


@dataclass(frozen=True)
class PermissionCheck:
    """A dependency: the identity, if its key has the scope ``admin`` and its role the permission.

    Else it answers 403, and names what is missing.
    """

    permission: Permission

    async def __call__(self, identity: IdentityDep) -> Identity:
        if "admin" not in identity.scopes:
            raise ScopeMissing(
                f"This call needs the scope admin, and a role with {self.permission}.",
                permission=self.permission.value,
            )
        if not identity.may(self.permission):
            raise PermissionMissing(self.permission.value)
        return identity


def require(permission: Permission) -> Any:
    """Make the one dependency of a route for staff: ``Annotated[Identity, require(...)]``."""
    return Depends(PermissionCheck(permission))


async def require_login(identity: IdentityDep) -> Identity:
    """Dependency: require a login (or an administrator's key with the scope ``admin``), since a
    leaked key must not create keys."""
    if identity.api_key_id is not None and not identity.may(Permission.LOGIN_BY_KEY):
        raise ScopeMissing("This call needs an access token from logging in, not an API key.")
    return identity


async def require_session(identity: IdentityDep) -> Identity:
    """Dependency: require a login, and take no key at all, since what follows guards logins."""
    if identity.api_key_id is not None:
        raise ScopeMissing("This call needs an access token from logging in, not an API key.")
    return identity


JobsReadDep = Annotated[Identity, Depends(require_scope("jobs:read"))]
JobsWriteDep = Annotated[Identity, Depends(require_scope("jobs:write"))]
FilesDep = Annotated[Identity, Depends(require_scope("files"))]
BillingDep = Annotated[Identity, Depends(require_scope("billing"))]
LoginDep = Annotated[Identity, Depends(require_login)]
SessionDep = Annotated[Identity, Depends(require_session)]
