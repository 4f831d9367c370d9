"""A site is prepared before it serves."""

import os
from pathlib import Path

import pytest

from movie.operations import site_setup


def test_static_files_are_laid_out_again_only_when_they_changed(settings, tmp_path, monkeypatch):
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "site.css").write_text("a {}")
    settings.STATIC_ROOT, settings.STATICFILES_DIRS = tmp_path / "collected", [sources]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    collected = []

    def collect(*_: object, **__: object) -> None:
        Path(settings.STATIC_ROOT).mkdir(exist_ok=True)
        (Path(settings.STATIC_ROOT) / "staticfiles.json").write_text("{}")
        collected.append(True)

    monkeypatch.setattr(site_setup, "call_command", collect)
    for expected in (1, 1):
        site_setup.lay_out_static_files()
        assert len(collected) == expected
    (sources / "site.css").write_text("a { color: red }")
    site_setup.lay_out_static_files()
    (sources / "print.css").write_text("")
    site_setup.lay_out_static_files()
    assert len(collected) == 3
    listed = Path(settings.STATIC_ROOT) / "staticfiles.json"
    stamped = (Path(settings.STATIC_ROOT) / ".made-of").stat().st_mtime_ns
    os.utime(listed, ns=(stamped + 1, stamped + 1))  # collected once more since, by another version
    site_setup.lay_out_static_files()
    assert len(collected) == 4
    listed.unlink()
    site_setup.lay_out_static_files()
    site_setup.lay_out_static_files()
    assert len(collected) == 5


@pytest.mark.django_db
def test_a_database_with_every_table_is_not_migrated_again(settings, tmp_path, monkeypatch):
    settings.DATA_DIR, settings.DEBUG = tmp_path / "var", True
    commands = []
    monkeypatch.setattr(site_setup, "call_command", lambda name, **_: commands.append(name))
    site_setup.make_tables_and_files()
    assert commands == []
    monkeypatch.setattr(site_setup, "unapplied_migrations", lambda: ("events.0009_marks_by_event",))
    site_setup.make_tables_and_files()
    assert commands == ["migrate"]
