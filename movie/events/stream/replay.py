"""Process dead letters once more, after the reason is gone."""

from __future__ import annotations

from movie.events.models import DeadLetter
from movie.events.stream.consumer import LONGEST_REASON, UNPROCESSABLE
from movie.events.stream.handlers import get_handler
from movie.events.stream.messages import decode


def replay(letter: DeadLetter) -> bool:
    """Process a dead letter and delete it; return whether that worked. Else it keeps the new reason."""
    try:
        message = decode(letter.raw)
        if message is not None:
            get_handler(letter.group).handle([message])
    except UNPROCESSABLE as error:
        letter.reason = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
        letter.save(update_fields=["reason"])
        return False
    letter.delete()
    return True
