"""For admins: people and their roles, signing keys, the audit chain."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from ledgerlink_contracts.ids import UserId
from ledgerlink_contracts.permissions import Role
from ledgerlink_identity import queries
from ledgerlink_identity.api.callers import Admin, RequestOrigin, Rt
from ledgerlink_identity.api.schemas import (
    AuditResponse,
    RolesRequest,
    RotationRequest,
    SigningKeyResponse,
    SigningKeysResponse,
    UserResponse,
    user_response,
)
from ledgerlink_identity.commands import keys, roles
from ledgerlink_identity.domain.emails import key_for_lookup
from ledgerlink_identity.domain.limits import EMAIL_CHARS_MAX
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.pagination import (
    PAGE_DEFAULT,
    InvalidCursor,
    Page,
    PageCursor,
    PageLimit,
    decode_cursor,
    encode_cursor,
)
from ledgerlink_kit.problem import responses

router = APIRouter(prefix="/auth", tags=["admin"])

EmailFilter = Annotated[
    str | None, Query(max_length=EMAIL_CHARS_MAX, pattern=r"^[^\x00]*$", description="Exactly this address")
]
PositionFilter = Annotated[int, Query(ge=0, le=2**53 - 1, description="Verify the chain after this position")]


@router.get("/users")
async def list_users(
    _admin: Admin,
    rt: Rt,
    limit: PageLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
    email: EmailFilter = None,
    role: Role | None = None,
) -> Page[UserResponse]:
    """List people in order of registration."""
    after = _after(cursor) if cursor else None
    key = key_for_lookup(email) if email else None
    found = await queries.users_page(rt.db, after=after.uuid if after else None, limit=limit, email=key, role=role)
    shown = found[:limit]
    following = encode_cursor({"after": str(UserId(shown[-1].id))}) if len(found) > limit else None
    return Page(items=[user_response(user) for user in shown], next_cursor=following)


def _after(cursor: str) -> UserId:
    try:
        return UserId.parse(str(decode_cursor(cursor, "after")["after"]))
    except Refused:
        raise InvalidCursor from None


@router.get("/users/{user_id}", responses=responses(404))
async def get_user(user_id: UserId, _admin: Admin, rt: Rt) -> UserResponse:
    """Tell about one person."""
    user = await queries.user(rt.db, user_id.uuid)
    if user is None:
        raise Refused(Kind.NOT_FOUND, "user-unknown", "There is nobody with this id.")
    return user_response(user)


@router.post("/users/{user_id}/roles", responses=responses(404, 409))
async def set_roles(user_id: UserId, body: RolesRequest, admin: Admin, rt: Rt, origin: RequestOrigin) -> UserResponse:
    """Give somebody exactly these roles. The last admin keeps that role (409 `last-admin`)."""
    return user_response(await roles.set_roles(rt, user_id, body.roles, actor=str(admin.user_id), origin=origin))


@router.get("/signing-keys")
async def list_signing_keys(_admin: Admin, rt: Rt) -> SigningKeysResponse:
    """List the signing keys and where each stands in its life."""
    found = await queries.keys_by_age(rt.db)
    return SigningKeysResponse(items=[SigningKeyResponse(**asdict(key)) for key in found])


@router.post("/signing-keys/rotate", responses=responses(409))
async def rotate_signing_keys(body: RotationRequest, admin: Admin, rt: Rt) -> SigningKeysResponse:
    """Let the waiting key sign from now on. Tokens signed by the old one stay good until they expire."""
    await keys.rotate_keys(rt, force=body.force, actor=str(admin.user_id))
    return await list_signing_keys(admin, rt)


@router.get("/audit/verification")
async def verify_audit(_admin: Admin, rt: Rt, after: PositionFilter = 0) -> AuditResponse:
    """Verify the chain of security events, ten thousand links at a time; no findings means that it holds."""
    return AuditResponse(**asdict(await queries.verify_audit(rt.db, after=after)))
