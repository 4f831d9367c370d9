"""Find the source of a function of this project by its dotted name, without an import."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings

PACKAGES = ("webapp", "movie", "evaluation", "predictors", "pytorch_models", "datasets", "ranking_metrics")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.ASCII)


class SourceNotFound(LookupError):
    """Says that no package of this project has a module, class, function or constant of that name."""


@dataclass(frozen=True, slots=True)
class Source:
    dotted: str
    path: str  # as from the root of the repository
    first_line: int
    text: str

    @property
    def last_line(self) -> int:
        return self.first_line + self.text.count("\n")


def find_source(dotted: str) -> Source:
    """Return the source of `package.module`, or of a name in it such as `package.module.Class.method`.

    Raises SourceNotFound.
    """
    parts = tuple(dotted.split("."))
    if not _DOTTED.fullmatch(dotted) or parts[0] not in PACKAGES:
        raise SourceNotFound(f"{dotted} is not a name in {', '.join(PACKAGES)}")
    path, names = _module_file(parts)
    tree, lines = _parsed(path, path.stat().st_mtime_ns)
    first, last = 1, len(lines)
    scope: ast.Module | ast.stmt = tree
    for name in names:
        found = _definition(scope, name)
        if found is None:
            module = path.relative_to(settings.BASE_DIR).as_posix()
            raise SourceNotFound(f"{module} defines no {'.'.join(names)}")
        scope = found
        decorators = getattr(found, "decorator_list", [])
        first = min([found.lineno, *(decorator.lineno for decorator in decorators)])
        last = found.end_lineno or found.lineno
    text = "\n".join(lines[first - 1 : last]).rstrip()
    return Source(dotted, path.relative_to(settings.BASE_DIR).as_posix(), first, text)


def _module_file(parts: tuple[str, ...]) -> tuple[Path, tuple[str, ...]]:
    """Return the file of the longest prefix that is a module, and the names left over."""
    for n in range(len(parts), 1, -1):
        place = settings.BASE_DIR.joinpath(*parts[:n])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path, parts[n:]
    raise SourceNotFound(f"there is no module {'.'.join(parts[:2])}")


@lru_cache(maxsize=64)
def _parsed(path: Path, changed: int) -> tuple[ast.Module, list[str]]:
    text = path.read_text(encoding="utf-8")
    return ast.parse(text), text.splitlines()


def _definition(scope: ast.AST, name: str) -> ast.stmt | None:
    """Return the last statement that defines `name` in a module or class: def, class or assignment."""
    if not isinstance(scope, ast.Module | ast.ClassDef):
        return None
    found = None
    for statement in scope.body:
        match statement:
            case ast.FunctionDef(name=defined) | ast.AsyncFunctionDef(name=defined):
                names = [defined]
            case ast.ClassDef(name=defined):
                names = [defined]
            case ast.Assign(targets=targets):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=defined)):
                names = [defined]
            case _:
                continue
        if name in names:
            found = statement
    return found
