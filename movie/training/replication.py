"""Base of the commands push_models and pull_models: their options, their loop, how they report errors."""

from __future__ import annotations

import logging
from abc import abstractmethod
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from movie.core.backoff import Backoff
from movie.core.locks import AlreadyLocked, file_lock
from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED
from movie.training.runs import Interrupted, StopTraining
from movie.training.site_store import SiteModelStore
from predictors.progress import ProgressEvent
from predictors.serving.registry import ModelStore
from predictors.serving.remote import NotInRemote, Remote, RemoteError, open_remote
from predictors.serving.replication import KEPT, ReplicationResult

log = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0  # seconds between two tries while they fail
NO_MODELS = 3  # exit status where nothing was pushed to the address yet


class ReplicationCommand(BaseCommand):
    """Copies models once, or every few seconds until SIGTERM. A subclass says in which direction."""

    verb: str  # for messages: push, pull

    @abstractmethod
    def replicate(self, store: ModelStore, remote: Remote, **options: Any) -> ReplicationResult:
        """Copy what is new, with the options `keep` and `progress`."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--every", type=float, metavar="SECONDS", help="again and again, until SIGTERM; by default once"
        )
        parser.add_argument(
            "--keep", type=int, default=KEPT, metavar="N", help="newest versions to keep (%(default)s)"
        )
        parser.add_argument("--quiet", action="store_true", help="without progress")

    def handle(self, *args: Any, **options: Any) -> None:
        every = options["every"]
        if every is not None and every <= 0:
            raise CommandError("--every: expected a number of seconds above 0")
        if options["keep"] < 1:
            raise CommandError("--keep: expected 1 or more")
        if not settings.MODEL_STORE_URL:
            raise CommandError("MODEL_STORE_URL is not set: where are the models?")
        try:
            with StopTraining() as stop, ProgressBar(enabled=not options["quiet"]) as bar:
                store = SiteModelStore(settings.MODEL_DIR)
                remote = open_remote(
                    settings.MODEL_STORE_URL,
                    region=settings.MODEL_STORE_REGION,
                    endpoint_url=settings.MODEL_STORE_ENDPOINT_URL,
                )

                def watch(event: ProgressEvent) -> None:
                    bar(event.done, event.message, self.verb)
                    stop.check()

                def copy() -> list[str]:
                    try:
                        with file_lock(settings.MODEL_DIR / f".{self.verb}.lock"):
                            result = self.replicate(store, remote, keep=options["keep"], progress=watch)
                    except AlreadyLocked as other:
                        return [f"Another {self.verb} is at work here: process {other.pid}."]
                    for name, version in result.activated:
                        self.stdout.write(f"{name} {version} is active.")
                    return result.errors

                if every is None:
                    if errors := copy():
                        raise CommandError("\n".join(errors))
                else:
                    _repeat(copy, every, stop)
        except Interrupted:
            if every is None:
                raise CommandError(
                    "Interrupted. The same command goes on from there.", returncode=INTERRUPTED
                ) from None
        except NotInRemote as error:
            raise CommandError(str(error), returncode=NO_MODELS) from error
        except RemoteError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{settings.MODEL_DIR}: {error.strerror or error}") from error


def _repeat(copy: Callable[[], list[str]], every: float, stop: StopTraining) -> None:
    """Copy until a shutdown is requested. A failure is logged once, and again when it changes."""
    backoff, said = Backoff(LONGEST_PAUSE), ""
    while not stop.requested():
        try:
            failure = "; ".join(copy())
        except (RemoteError, OSError) as error:
            failure = str(error)
        if not failure and said:
            log.info("The models can be copied again.")
            backoff.reset()
        elif failure != said:
            log.warning("%s", failure)
        said = failure
        stop.wait(max(every, backoff.next_pause()) if failure else every)
