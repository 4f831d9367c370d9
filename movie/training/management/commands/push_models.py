"""manage.py push_models: copy the active models to a bucket or a folder, from which machines pull them."""

from movie.training.replication import ReplicationCommand
from predictors.serving.replication import push


class Command(ReplicationCommand):
    help = (
        "Copy the active models of MODEL_DIR to a bucket or a folder, from which other machines pull them: "
        "after a training, an activation or a roll-back, or with --every beside them."
    )
    replicate = staticmethod(push)
    verb = "push"
