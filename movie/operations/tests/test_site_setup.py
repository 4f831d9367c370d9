"""What a site needs before it serves."""

from pathlib import Path

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
