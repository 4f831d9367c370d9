"""Words of django-allauth that this site translates itself, because its own translation misleads."""

from django.utils.translation import gettext_noop

WORDS = (
    gettext_noop("Remember Me"),
    gettext_noop("Username or email"),
)
