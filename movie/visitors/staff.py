"""Say which staff may act as staff: with a second factor where STAFF_SECOND_FACTOR requires one."""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser

REQUIRED = "required"
FACTORS = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]  # recovery codes come with one of these


def lacks_second_factor(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether a second factor is required of this member of staff, who has none.

    Whoever has one was asked for it at sign-in.
    """
    return settings.STAFF_SECOND_FACTOR == REQUIRED and not is_mfa_enabled(user, FACTORS)


def is_trusted_staff(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether this user may act as staff."""
    return user.is_active and bool(getattr(user, "is_staff", False)) and not lacks_second_factor(user)
