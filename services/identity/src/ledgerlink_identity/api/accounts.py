"""Accounts: register, verify the address, reset the password, and who am I."""

from fastapi import APIRouter

from ledgerlink_contracts.permissions import Permission
from ledgerlink_identity.api.callers import ProfileReader, RequestOrigin, Rt
from ledgerlink_identity.api.schemas import (
    AcceptedResponse,
    MailRequest,
    PasswordResetConfirmation,
    PasswordSetResponse,
    ProfileResponse,
    RegisterRequest,
    UserResponse,
    VerificationConfirmation,
    VerifiedResponse,
    user_response,
)
from ledgerlink_identity.commands import accounts
from ledgerlink_identity.domain.one_time import Purpose
from ledgerlink_kit.problem import responses

router = APIRouter(prefix="/auth", tags=["accounts"])


@router.post("/register", status_code=201, responses=responses(409))
async def register(body: RegisterRequest, rt: Rt, origin: RequestOrigin) -> UserResponse:
    """Open an account. A second time the same address answers 409 `email-taken`, so that a retry is safe."""
    registration = accounts.Registration(body.email, body.password, body.full_name)
    return user_response(await accounts.register(rt, registration, origin))


@router.get("/me")
async def me(person: ProfileReader) -> ProfileResponse:
    """Tell who the caller is and what this token allows."""
    scope = sorted(Permission(scope) for scope in person.caller.scopes)
    return ProfileResponse(**user_response(person.user).model_dump(), scope=scope, session=person.session_id)


@router.post("/verification/request", status_code=202)
async def request_verification(body: MailRequest, rt: Rt) -> AcceptedResponse:
    """Ask for the mail that verifies an address. Everybody gets the same answer, whoever the address belongs to."""
    await accounts.ask_for_mail(rt, Purpose.VERIFICATION, body.email)
    return AcceptedResponse()


@router.post("/verification/confirm")
async def confirm_verification(body: VerificationConfirmation, rt: Rt, origin: RequestOrigin) -> VerifiedResponse:
    """Verify an address with the code from the mail; the code works once, for 24 hours."""
    await accounts.confirm_email(rt, body.token, origin)
    return VerifiedResponse()


@router.post("/password-reset/request", status_code=202)
async def request_password_reset(body: MailRequest, rt: Rt) -> AcceptedResponse:
    """Ask for the mail that lets one set a new password. Everybody gets the same answer."""
    await accounts.ask_for_mail(rt, Purpose.PASSWORD_RESET, body.email)
    return AcceptedResponse()


@router.post("/password-reset/confirm")
async def confirm_password_reset(body: PasswordResetConfirmation, rt: Rt, origin: RequestOrigin) -> PasswordSetResponse:
    """Set a new password with the code from the mail; the code works once, for 30 minutes. Ends every session."""
    await accounts.reset_password(rt, body.token, body.new_password, origin)
    return PasswordSetResponse()
