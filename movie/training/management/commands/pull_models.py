"""manage.py pull_models: copy the active models of a bucket or a server here, once or every few seconds."""

from typing import Any

from movie.training.replication import ReplicationCommand
from predictors.serving.registry import ModelStore
from predictors.serving.remote import Remote
from predictors.serving.replication import ReplicationResult, pull


class Command(ReplicationCommand):
    help = (
        "Copy the models that push_models made active in a bucket or on a server into MODEL_DIR and activate "
        "each once it is complete and sound. What cannot be copied leaves the version of before."
    )
    verb = "pull"
    is_verified = False

    def replicate(self, store: ModelStore, remote: Remote, **options: Any) -> ReplicationResult:
        """Copy what is new; compare every file of the active versions until all were sound once."""
        result = pull(store, remote, verify=not self.is_verified, **options)
        self.is_verified = self.is_verified or not result.errors
        return result
