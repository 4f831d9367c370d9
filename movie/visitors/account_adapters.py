"""Adapt django-allauth: it counts by network, leaves wrong passwords to django-axes, and encrypts secrets."""

from __future__ import annotations

import base64
import hashlib
import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.totp.internal.auth import generate_totp_secret
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from movie.visitors.networks import client_address
from movie.visitors.throttling import seconds_until

logger = logging.getLogger(__name__)

MAILS, MAIL_WINDOW = 20, 3600  # mails about changes of one account in so many seconds
KEY_PURPOSE = b"movie.visitors.account_adapters:"


class AccountAdapter(DefaultAccountAdapter):
    """Counts attempts to sign in and to sign up by the same address as the rest of the site."""

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request)

    def is_safe_url(self, url: str | None) -> bool:
        """Return whether `next` stays on this site; an address that cannot be read (http://[) does not."""
        try:
            return super().is_safe_url(url)
        except ValueError:
            return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count nothing here: django-axes counts wrong passwords by account and address together.

        allauth counts them by account alone, so that anybody could lock anybody out.
        """

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        """Check the password once for what was typed, as a name and as an address: allauth would do so twice
        for a known address, and the time would tell that it is known.
        """
        if credentials.get("email") and credentials["email"] == credentials.get("username"):
            del credentials["email"]
        return super().authenticate(request, **credentials)

    def send_notification_mail(
        self,
        template_prefix: str,
        user: AbstractBaseUser,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        """Tell the owner of an account about a change, also one whose address was set by a command.

        The change stands when the mail server is away; the log says that nobody was told. An account gets
        `MAILS` in `MAIL_WINDOW`: its address may be somebody else's, as long as nobody confirmed it.
        """
        if seconds_until(f"mails:{user.pk or email}", MAILS, MAIL_WINDOW):
            logger.warning("a mail about a change of an account was not sent: it has had too many")
            return
        known = email or EmailAddress.objects.get_primary_email(user) or getattr(user, "email", "")
        try:
            super().send_notification_mail(template_prefix, user, context, known or None)
        except (SMTPException, OSError) as error:
            logger.warning("a mail about a change of an account was not sent: %s", error)


class MFAAdapter(DefaultMFAAdapter):
    """Encrypts what second factors need to know, such as the secret of an authenticator app.

    The key follows from SECRET_KEY, so a copy of the database alone gives nobody a second factor.
    """

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Return the text; where no known key opens it, a random one, which no code fits."""
        try:
            return _cipher().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            return generate_totp_secret()


def _cipher() -> MultiFernet:
    """Encrypt with SECRET_KEY; decrypt also with SECRET_KEY_FALLBACKS."""
    return MultiFernet(
        [
            Fernet(base64.urlsafe_b64encode(hashlib.sha256(KEY_PURPOSE + key.encode()).digest()))
            for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        ]
    )
