"""manage.py remove_second_factor: let somebody in who lost the app, the keys and the recovery codes."""

from argparse import ArgumentParser
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Remove the second factor of an account, so that the password alone signs in. Ask who it is first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the user name")

    def handle(self, *, name: str, **options: Any) -> None:
        user = get_user_model()._default_manager.filter(username=name).first()
        if user is None:
            raise CommandError(f"There is no account {name}.")
        removed, _by_model = Authenticator.objects.filter(user_id=user.pk).delete()
        self.stdout.write(f"{name} signs in with the password alone now." if removed else f"{name} had none.")
