import hashlib
import io
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.management import CommandError, call_command

from movie.catalogue.importing.download import download
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.models import Movie

NAME = "ml-latest-small"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path):
    """A folder served over HTTP on this machine, and its address."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def publish(folder, files, checksum=None, name=NAME):
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for member, text in files.items():
            packed.writestr(member, text)
    digest = checksum or hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    (folder / f"{name}.zip.md5").write_text(f"MD5 ({name}.zip) = {digest}\n")
    return path


def run(url, into):
    out = io.StringIO()
    call_command(
        "import_movies", "movielens", download=NAME, base_url=url, into=into, stdout=out, no_progress=True
    )
    return out.getvalue()


@pytest.mark.django_db
def test_a_verified_download_is_imported_and_used_again(mirror, tmp_path):
    folder, url = mirror
    files = {f"{NAME}/movies.csv": "movieId,title,genres\n1,Heat (1995),Crime\n"}
    archive = publish(folder, files)
    text = run(url, tmp_path / "kept")
    assert "1 added" in text
    assert f"import_ratings {tmp_path / 'kept' / NAME}" in text
    assert Movie.objects.get().title == "Heat"
    archive.unlink()
    assert "nothing to change" in run(url, tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [NAME]


@pytest.mark.django_db
def test_a_wrong_checksum_is_refused_and_nothing_is_kept(mirror, tmp_path):
    folder, url = mirror
    publish(folder, {f"{NAME}/movies.csv": "movieId,title,genres\n1,Heat (1995),Crime\n"}, checksum="0" * 32)
    with pytest.raises(CommandError, match="arrived damaged"):
        run(url, tmp_path / "kept")
    assert not Movie.objects.exists()
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_pinned_checksum_goes_before_what_a_mirror_publishes(mirror, tmp_path):
    folder, url = mirror
    publish(folder, {"ml-1m/movies.dat": "1::Heat (1995)::Crime\n"}, name="ml-1m")
    with pytest.raises(CatalogueError, match="c4d9eecfca2ab87c1945afe126590906"):
        download("ml-1m", tmp_path / "kept", base_url=url)


def test_no_connection_says_so_and_what_to_do_instead(tmp_path):
    # Port 9 of this machine answers nobody; a name that does not exist is the other way to have no internet.
    for url in ("http://127.0.0.1:9/", "http://no-such-host.invalid/"):
        with pytest.raises(CommandError) as caught:
            run(url, tmp_path / "kept")
        assert "could not be reached" in str(caught.value)
        assert "load_demo_data" in str(caught.value)
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_missing_file_and_a_missing_checksum_are_told_apart(mirror, tmp_path):
    folder, url = mirror
    with pytest.raises(CatalogueError, match="404"):
        download(NAME, tmp_path, base_url=url)
    (folder / f"{NAME}.zip.md5").write_text("nothing of use")
    with pytest.raises(CatalogueError, match="no MD5"):
        download(NAME, tmp_path, base_url=url)


def test_an_archive_cannot_write_outside_its_folder(mirror, tmp_path):
    folder, url = mirror
    publish(folder, {"../../escaped.txt": "x"})
    with pytest.raises(CatalogueError, match="outside"):
        download(NAME, tmp_path / "a" / "b", base_url=url)
    assert not list(tmp_path.rglob("escaped.txt"))


def test_a_silent_server_is_given_up_on(tmp_path):
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(CatalogueError, match="could not be reached"):
            download(NAME, tmp_path, base_url=url, timeout=0.3)


def test_only_known_data_sets_and_addresses(tmp_path):
    with pytest.raises(CatalogueError, match="ml-latest-small"):
        download("ml-3m", tmp_path)
    with pytest.raises(CatalogueError, match="http"):
        download(NAME, tmp_path, base_url="file:///etc/")
