"""Tests of copying models from one machine to another: through a folder, a web server and a bucket."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from predictors.errors import PredictorError
from predictors.id_map import IdMap
from predictors.models.popular import PopularPredictor
from predictors.serving import artifact
from predictors.serving.registry import ModelStore
from predictors.serving.remote import RemoteError, S3Remote, open_remote
from predictors.serving.replication import INDEX, PULLING, ReplicationResult, pull, push
from predictors.testing import overwrite

N_ITEMS = 20_000  # 80 kB of scores
BUCKET = "models"
PROGRAM = """
import sys
from pathlib import Path
from predictors.serving.registry import ModelStore
from predictors.serving.remote import open_remote
from predictors.serving.replication import pull
pull(ModelStore(Path(sys.argv[1])), open_remote(sys.argv[2]))
"""


class WebServer(ThreadingHTTPServer):
    """Shows a folder and counts requests by file name. Of the file named `cut` it sends half, waits for
    `go_on`, and ends the connection.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.cut, self.go_on, self.asked = folder, "", threading.Event(), Counter()
        self.authorizations: set[str | None] = set()
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(SimpleHTTPRequestHandler):
    def copyfile(self, source, outputfile) -> None:
        name, content = Path(self.path).name, source.read()
        self.server.asked[name] += 1
        self.server.authorizations.add(self.headers["Authorization"])
        if name != self.server.cut:
            outputfile.write(content)
            return
        outputfile.write(content[: len(content) // 2])
        outputfile.flush()
        self.server.go_on.wait(20)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path) -> Iterator[WebServer]:
    folder = tmp_path / "remote"
    folder.mkdir()
    with WebServer(folder) as running:
        yield running
        running.go_on.set()
        running.shutdown()


@pytest.fixture(scope="module")
def bucket_url() -> Iterator[str]:
    """Return the endpoint of a server with S3's API that has the bucket."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed; see requirements-dev.txt")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "tests")
        running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        running.start()
        host, port = running.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        S3Remote(f"s3://{BUCKET}", region="us-east-1", endpoint_url=endpoint)._client.create_bucket(
            Bucket=BUCKET
        )
        yield endpoint
        running.stop()


@pytest.fixture(params=["file", "http", "s3"])
def remotes(request, tmp_path):
    """Return a remote to write to and the same to read from."""
    if request.param == "s3":
        endpoint = request.getfixturevalue("bucket_url")
        remote = open_remote(f"s3://{BUCKET}/{tmp_path.name}", region="us-east-1", endpoint_url=endpoint)
        return remote, remote
    folder = open_remote(f"file://{tmp_path / 'remote'}")
    if request.param == "file":
        return folder, folder
    return folder, open_remote(request.getfixturevalue("server").url)


@pytest.fixture
def writer(tmp_path) -> ModelStore:
    return ModelStore(tmp_path / "writer")


@pytest.fixture
def reader(tmp_path) -> ModelStore:
    return ModelStore(tmp_path / "reader")


def publish(store: ModelStore, top: int) -> str:
    """Activate a new version that has this item on top."""
    scores = np.random.default_rng(top).random(N_ITEMS, dtype=np.float32)
    scores[top] = 2.0
    return store.publish(PopularPredictor(scores, IdMap(range(N_ITEMS))), activate=True)


def served(store: ModelStore) -> int:
    return int(store.load("popular", store.current("popular")).scores.argmax())


def files_of(store: ModelStore) -> set[str]:
    return {str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file()}


def damaged(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def damage(path: Path) -> None:
    overwrite(path, damaged(path.read_bytes()))


def test_an_activation_and_a_roll_back_arrive_and_old_versions_go(remotes, writer, reader):
    to, source = remotes
    versions = []
    for top in range(5):
        versions.append(publish(writer, top))
        assert push(writer, to, keep=2) == ReplicationResult([("popular", versions[-1])], [])
        assert pull(reader, source, keep=2) == ReplicationResult([("popular", versions[-1])], [])
        assert served(reader) == top
    assert push(writer, to) == pull(reader, source) == ReplicationResult([], [])  # nothing is new
    assert reader.versions("popular") == versions[:-3:-1]
    kept = {key.split("/")[1] for key in to.keys("popular")}
    assert kept == set(versions[-2:])
    # A machine that has nothing gets the active version alone, a machine that has two goes back.
    writer.activate("popular", versions[0])
    assert push(writer, to).activated == [("popular", versions[0])]
    fresh = ModelStore(reader.root.parent / "fresh")
    for store in (reader, fresh):
        assert pull(store, source).errors == []
        assert served(store) == 0 and store.current("popular") == versions[0]
    assert fresh.versions("popular") == [versions[0]]
    for path in (fresh.root / "popular" / versions[0]).iterdir():
        assert path.stat().st_mode & 0o777 == artifact.READ_ONLY


@pytest.mark.parametrize("kind", ["http", "s3"])  # of S3's API reading takes no more than a web server has
def test_a_cut_connection_leaves_the_version_of_before_and_the_rest_is_pulled_later(
    server, writer, reader, kind, monkeypatch
):
    to = open_remote(f"file://{server.folder}/{BUCKET}")
    source = open_remote(f"{server.url}/{BUCKET}")
    if kind == "s3":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        source = open_remote(f"s3://{BUCKET}", region="us-east-1", endpoint_url=server.url)
    old = publish(writer, 1)
    push(writer, to)
    pull(reader, source)
    before, new = files_of(reader), publish(writer, 2)
    push(writer, to)
    server.cut = artifact.WEIGHTS
    server.go_on.set()
    (error,) = pull(reader, source).errors
    address = source.address(f"popular/{new}/{artifact.WEIGHTS}")
    assert error == f"popular {new}: {address}: the connection ended too early"
    assert reader.versions("popular") == [old] and served(reader) == 1
    assert before <= files_of(reader)
    server.cut = ""
    server.asked.clear()
    assert pull(reader, source).activated == [("popular", new)] and served(reader) == 2
    assert server.asked == {INDEX: 1, artifact.META: 1, artifact.WEIGHTS: 1}  # ids.json was there already
    assert not list((reader.root / "popular").glob(".*"))


def test_a_killed_pull_leaves_the_version_of_before_and_the_next_one_goes_on(server, writer, reader):
    to, source = open_remote(f"file://{server.folder}"), open_remote(server.url)
    old = publish(writer, 1)
    push(writer, to)
    pull(reader, source)
    new = publish(writer, 2)
    push(writer, to)
    server.cut = artifact.WEIGHTS
    pulling = subprocess.Popen([sys.executable, "-c", PROGRAM, str(reader.root), server.url])
    half = reader.root / "popular" / f"{PULLING}{new}" / artifact.WEIGHTS
    deadline = time.monotonic() + 20
    while not half.exists():
        assert pulling.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    pulling.kill()
    pulling.wait()
    assert reader.versions("popular") == [old] and served(reader) == 1
    server.cut = ""
    assert pull(reader, source).activated == [("popular", new)] and served(reader) == 2


@pytest.mark.parametrize("filename", [artifact.WEIGHTS, artifact.META])
def test_a_file_that_was_damaged_on_the_way_is_refused_by_its_address(remotes, writer, reader, filename):
    to, source = remotes
    publish(writer, 1)
    push(writer, to)
    pull(reader, source)
    new = publish(writer, 2)
    push(writer, to)
    sound = to.read(f"popular/{new}/{filename}")
    to.put(f"popular/{new}/{filename}", damaged(sound))
    (error,) = pull(reader, source).errors
    address = f"{source.label}/popular/{new}/{filename}"
    assert error == f"popular {new}: {address} is damaged: its sha256 is not the recorded one"
    assert served(reader) == 1
    to.put(f"popular/{new}/{filename}", sound)
    assert pull(reader, source).errors == [] and served(reader) == 2


def test_a_full_disk_leaves_the_version_of_before_and_nothing_else(tmp_path, writer, reader):
    remote = open_remote(f"file://{tmp_path / 'remote'}")
    publish(writer, 1)
    push(writer, remote)
    pull(reader, remote)
    before = files_of(reader)
    new = publish(writer, 2)
    push(writer, remote)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (N_ITEMS, limits[1]))  # bytes
    try:
        (error,) = pull(reader, remote).errors
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    folder = reader.path("popular", new)
    assert error == f"popular {new}: {folder} cannot be written: File too large"
    assert files_of(reader) == before and served(reader) == 1


def test_a_version_that_is_damaged_here_is_pulled_again(tmp_path, writer, reader):
    remote = open_remote(f"file://{tmp_path / 'remote'}")
    first = publish(writer, 1)
    push(writer, remote)
    pull(reader, remote)
    publish(writer, 2)
    push(writer, remote)
    pull(reader, remote)
    damage(reader.path("popular", first) / artifact.WEIGHTS)
    writer.roll_back("popular")
    push(writer, remote)
    assert pull(reader, remote).errors == [] and served(reader) == 1


@pytest.mark.parametrize("what", ["a file", "meta.json", "the folder"])
def test_an_active_version_that_is_damaged_or_gone_here_is_pulled_again(tmp_path, writer, reader, what):
    remote = open_remote(f"file://{tmp_path / 'remote'}")
    version = publish(writer, 1)
    push(writer, remote)
    pull(reader, remote)
    assert pull(reader, remote) == ReplicationResult([], [])
    folder, stamp = reader.path("popular", version), reader.pointer_stamp("popular")
    if what == "the folder":
        shutil.rmtree(folder)
    else:
        damage(folder / (artifact.WEIGHTS if what == "a file" else artifact.META))
    by_meta = pull(reader, remote, verify=False).activated
    assert by_meta == ([] if what == "a file" else [("popular", version)])
    assert by_meta + pull(reader, remote).activated == [("popular", version)]
    assert served(reader) == 1 and reader.pointer_stamp("popular") != stamp  # processes load it anew
    assert {path.name for path in (reader.root / "popular").iterdir()} == {version, "current"}


def test_what_killed_pulls_left_is_deleted_also_where_nothing_is_new(tmp_path, writer, reader, monkeypatch):
    remote = open_remote(f"file://{tmp_path / 'remote'}")
    version = publish(writer, 1)
    push(writer, remote)
    left = [reader.root / "popular" / f"{PULLING}{name}" for name in ("20200101T000000.000000-abcd", version)]
    left[0].mkdir(parents=True)
    pull(reader, remote)
    assert not left[0].exists()
    left[1].mkdir()

    def refuse(path: Path, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        result = pull(reader, remote)
    assert result.errors == [f"popular: {left[1]} was not deleted: Operation not permitted"]
    assert pull(reader, remote) == ReplicationResult([], []) and not left[1].exists()


@pytest.mark.parametrize("files", [["x"], {"x": 1}, {"..": "0"}, {"a/b": "0"}, {"\0": "0"}])
def test_facts_that_name_no_files_of_an_artifact_are_refused(tmp_path, writer, reader, files):
    remote = open_remote(f"file://{tmp_path / 'remote'}")
    version = publish(writer, 1)
    push(writer, remote)
    facts = json.dumps({**writer.meta("popular", version), "files": files}).encode()
    remote.put(f"popular/{version}/{artifact.META}", facts)
    entry = {"version": version, "meta_sha256": sha256(facts).hexdigest()}
    remote.put(INDEX, json.dumps({"format": 1, "active": {"popular": entry}}).encode())
    (error,) = pull(reader, remote).errors
    assert artifact.META in error and ("outside the artifact" in error or "no table" in error)
    assert reader.current("popular") == ""


def test_a_damaged_version_is_not_pushed(tmp_path, writer):
    remote = open_remote(f"file://{tmp_path / 'remote'}")
    version = publish(writer, 1)
    damage(writer.path("popular", version) / artifact.WEIGHTS)
    result = push(writer, remote)
    assert result.activated == [] and f"{artifact.WEIGHTS} is damaged" in result.errors[0]
    assert not (tmp_path / "remote" / INDEX).exists()


def test_a_version_that_was_half_deleted_from_a_remote_is_pushed_whole_again(
    tmp_path, writer, reader, monkeypatch
):
    remote = open_remote(f"file://{tmp_path / 'remote'}")
    first = publish(writer, 1)
    push(writer, remote)
    publish(writer, 2)
    deleted = iter([remote.delete])

    def delete_once(key: str) -> None:
        next(deleted, _away)(key)

    with monkeypatch.context() as patch:
        patch.setattr(remote, "delete", delete_once)
        result = push(writer, remote, keep=1)
    assert result.activated == [("popular", writer.current("popular"))]
    assert result.errors == ["popular: an old version was not deleted: the remote is away"]
    assert 0 < len([key for key in remote.keys("popular") if first in key]) < 3
    writer.roll_back("popular")
    push(writer, remote)
    assert pull(reader, remote).errors == [] and served(reader) == 1


def _away(key: str) -> None:
    raise RemoteError("the remote is away")


def test_models_that_only_other_writers_have_stay_and_unknown_ones_are_left_out(tmp_path, writer, reader):
    remote = open_remote(f"file://{tmp_path / 'remote'}")
    version = publish(writer, 1)
    push(writer, remote)
    index = json.loads(remote.read(INDEX))
    index["active"]["of_a_newer_release"] = {"version": "1", "meta_sha256": "0"}
    remote.put(INDEX, json.dumps(index).encode())
    assert pull(reader, remote) == ReplicationResult([("popular", version)], [])
    publish(writer, 2)
    push(writer, remote)
    assert "of_a_newer_release" in json.loads(remote.read(INDEX))["active"]


@pytest.mark.parametrize(
    ("index", "complaint"),
    [
        (b"<html>", "is no index of models"),
        (b'{"format": 2, "active": {}}', "has format 2, expected 1"),
        (
            b'{"format": 1, "active": {"popular": {"version": "../x", "meta_sha256": ""}}}',
            "'../x' is not a version",
        ),
        (b'{"format": 1, "active": {"popular": "x"}}', "is no index of models"),
    ],
)
def test_an_index_that_cannot_be_used_changes_nothing(tmp_path, reader, index, complaint):
    remote = open_remote(f"file://{tmp_path / 'remote'}")
    remote.put(INDEX, index)
    with pytest.raises(RemoteError, match=complaint):
        pull(reader, remote)
    assert not reader.root.exists()


def test_a_remote_that_is_empty_or_away_is_named_without_the_password(remotes, reader, server):
    _to, source = remotes
    with pytest.raises(RemoteError, match=f"{source.label}/{INDEX} does not exist"):
        pull(reader, source)
    server.shutdown()
    server.server_close()
    away = open_remote(server.url.replace("http://", "http://site:secret@"))
    with pytest.raises(RemoteError, match=rf"^{server.url}/{INDEX}: .*refused$"):
        pull(reader, away)


def test_a_bucket_that_is_away_or_not_there_is_one_line(bucket_url, reader):
    for bucket, endpoint, complaint in (
        (BUCKET, "http://127.0.0.1:9", "Could not connect"),
        ("other", bucket_url, "NoSuchBucket"),
    ):
        remote = open_remote(f"s3://{bucket}", region="us-east-1", endpoint_url=endpoint)
        with pytest.raises(RemoteError, match=rf"^s3://{bucket}/{INDEX}: .*{complaint}"):
            pull(reader, remote)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "models",
        "s3:",
        "s3://",
        "s3:///models",
        "s3://name:secret@bucket/models",
        "ftp://name:secret@host/models",
        "file:models",
        "file://host/models",
        "file:///name:secret@host/models",
        "http://",
        "http://[name:secret@host/models",
        "http://name:secret#1@host/models",
        "http://name:1/secret@host/models",
    ],
)
def test_an_address_of_another_kind_is_refused_without_its_password(url):
    with pytest.raises(PredictorError, match="no address of models") as refused:
        open_remote(url)
    assert "secret" not in str(refused.value)


def test_a_name_and_a_password_of_any_language_are_sent(server, writer, reader):
    publish(writer, 1)
    push(writer, open_remote(f"file://{server.folder}"))
    source = open_remote(server.url.replace("http://", "http://%C5%BDofie:%E5%AF%86@"))
    assert pull(reader, source).errors == []
    assert server.authorizations == {f"Basic {b64encode('Žofie:密'.encode()).decode()}"}


def test_models_are_not_written_over_http(server, writer):
    publish(writer, 1)
    (error,) = push(writer, open_remote(server.url)).errors
    assert "only read over HTTP" in error
