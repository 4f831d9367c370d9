"""manage.py push_models: copy the active models to a bucket or a folder, from which machines pull them."""

from typing import Any

from movie.training.replication import ReplicationCommand
from predictors.serving.registry import ModelStore
from predictors.serving.remote import Remote
from predictors.serving.replication import ReplicationResult, push


class Command(ReplicationCommand):
    help = (
        "Copy the active models of MODEL_DIR to a bucket or a folder, from which other machines pull them: "
        "after a training, an activation or a roll-back, or with --every beside them."
    )
    verb = "push"

    def replicate(self, store: ModelStore, remote: Remote, **options: Any) -> ReplicationResult:
        return push(store, remote, **options)
