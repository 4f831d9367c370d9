"""manage.py pull_models: copy the active models of a bucket or a server here, once or every few seconds."""

from movie.training.replication import ReplicationCommand
from predictors.serving.replication import pull


class Command(ReplicationCommand):
    help = (
        "Copy the models that push_models made active in a bucket or on a server into MODEL_DIR and activate "
        "each once it is complete and sound. What cannot be copied leaves the version of before."
    )
    replicate = staticmethod(pull)
    verb = "pull"
