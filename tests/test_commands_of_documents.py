"""Commands in the documents: what a reader copies is what the programs take."""

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandError

ROOT = Path(settings.BASE_DIR)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("clients/*/README.md")])
TARGETS = set(re.findall(r"^([\w./$()-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOKEN = re.compile(
    r"""(?P<comment>(?:^|(?<=\s))\#[^\n]*)
    |(?P<operator>[|&;<>()\n]+)
    |(?P<word>(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"|&;<>()\\])+)""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)


def commands_of(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, words) of every command in the ```sh blocks of a document.

    Comments go, and so does everything behind a pipe or a redirection. A text in quotes that spans lines is
    one word, as in a shell; what stands behind `sh -c` is taken apart as well.
    """
    for block in BLOCK.finditer(text):
        line = text[: block.start(1)].count("\n") + 1
        yield from ((line, words) for words in _split(block[1]))


def _split(block: str) -> Iterator[list[str]]:
    words: list[str] = []
    is_redirected = False
    for token in TOKEN.finditer(block.replace("\\\n", " ")):
        if token["operator"]:
            is_redirected = bool(set(token["operator"]) & set("<>"))
            if words and not is_redirected:
                yield from _unwrapped(words)
                words = []
        elif token["word"]:
            if not is_redirected:
                words.append(shlex.split(token["word"])[0])
            is_redirected = False
    if words:
        yield from _unwrapped(words)


def _unwrapped(words: list[str]) -> Iterator[list[str]]:
    yield words
    if "sh" in words and "-c" in words:
        yield from _split(words[-1])


def manage_command(words: list[str]) -> list[str] | None:
    """Return what stands behind `manage.py`, `reelgraph`, or the `run` that docs/deployment.md defines."""
    if "manage.py" in words:
        return words[words.index("manage.py") + 1 :]
    if words[0].endswith("/reelgraph"):
        return words[1:]
    if words[0] == "run" and len(words) > 1:
        return words[1:]
    return None


def fault_of(words: list[str]) -> str:
    """Return what is wrong with a command, or an empty string."""
    if fault := fault_of_form(words):
        return fault
    if words[0] == "make":
        return next(
            (f"no target {word}" for word in words[1:] if "=" not in word and not is_target(word)), ""
        )
    if (rest := manage_command(words)) and rest[0] != "$@":
        return fault_of_manage(*rest)
    if "-m" in words and "python" in words[words.index("-m") - 1]:
        module = words[words.index("-m") + 1]
        return "" if find_spec(module) else f"no module {module}"
    return ""


def fault_of_form(words: list[str]) -> str:
    """Return why a command cannot be copied into a shell in the project's folder, or an empty string."""
    if words[0] == "$":
        return "a prompt cannot be copied"
    if "manage.py" in words:
        before = words[: words.index("manage.py")]
        if not before or not (before[-1].endswith("python") or ".venv/bin/torchrun" in before):
            return "manage.py is started by python or torchrun"
    if words[:2] == ["pip", "install"] and "-r" in words:
        return "requirements go into .venv"
    return ""


def is_target(word: str) -> bool:
    return word in TARGETS or word.replace(".venv", "$(VENV)") in TARGETS


def fault_of_manage(name: str, *arguments: str) -> str:
    app = get_commands().get(name)
    if not app:
        return f"no command {name}"
    command = load_command_class(app, name) if isinstance(app, str) else app
    # Django raises CommandError where a program would print its usage and exit.
    command._called_from_command_line = False
    try:
        command.create_parser("manage.py", name).parse_args(list(arguments))
    except CommandError as error:
        return f"{name}: {error}"
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_accepted_by_the_programs_that_they_name(document):
    text = document.read_text(encoding="utf-8")
    faults = [
        f"{document.relative_to(ROOT)}:{line}: {' '.join(words)}: {fault}"
        for line, words in commands_of(text)
        if (fault := fault_of(words))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_a_sentence_names_exist(document):
    text = document.read_text(encoding="utf-8")
    commands = set(re.findall(r"`(?:\S*python )?manage\.py ([a-z_]+)", text))
    targets = set(re.findall(r"`make ([a-z-]+)[^`]*`", text))
    assert commands <= set(get_commands()) and targets <= TARGETS


def test_a_wrong_command_is_found():
    """The check sees through comments, pipes, redirections, containers and loops."""
    text = (
        "```sh\nmake nothing-of-that-kind   # words behind\n"
        "docker compose exec web python manage.py relay_events --statu-s < in | head\n"
        "python -m no_such_module > out && .venv/bin/python manage.py tran\n"
        "sh -c 'cat > x && python manage.py models --jsn'\n```\n"
    )
    faults = [fault for _line, words in commands_of(text) if (fault := fault_of(words))]
    assert [fault.split(":")[0] for fault in faults] == [
        "no target nothing-of-that-kind",
        "relay_events",
        "no module no_such_module",
        "no command tran",
        "models",
    ]


def test_there_are_commands_to_check():
    commands = [words for path in DOCUMENTS for _line, words in commands_of(path.read_text(encoding="utf-8"))]
    assert sum(bool(manage_command(words)) for words in commands) > 80
    assert sum(words[0] == "make" for words in commands) > 5
