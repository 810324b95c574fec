"""The layers of ARCHITECTURE.md: imports point down only, and the parts stay small."""

from __future__ import annotations

import ast
import importlib
import io
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "clarion"

#: From the ground up. A name stands for a module and all below it; the longest that fits counts.
LAYERS = {
    "ground": ("conf", "exceptions", "schema", "routes", "timing", "postgres"),
    "contracts": (
        "types", "audiences", "runner", "decisions", "channels.base",
        "realtime.frames", "realtime.topic", "realtime.connection", "realtime.hub",
        "realtime.eager", "realtime.collector", "realtime.brokers",
    ),
    "nouns": ("models", "cursors", "items", "preferences", "reach"),
    "ledger": ("ledger", "deliveries", "parcels", "envelopes"),
    "verbs": ("fanout", "outbox", "inbox", "upkeep"),
    "doors": ("events", "evidence", "explain", "realtime", "channels", "samples", "unsubscribing"),
    "edges": (
        "", "admin", "apps", "asgi", "bell", "checks", "endpoints", "gallery", "management",
        "notifications", "pages", "problems", "push", "receivers", "routing", "runners", "tasks",
        "templatetags", "testing", "tracking", "unsubscribe_pages", "urls", "views",
    ),
}  # fmt: skip
HEIGHT = {name: height for height, names in enumerate(LAYERS.values()) for name in names}
VERBS = LAYERS["verbs"]
#: Know bytes and topics; tested without a database.
WITHOUT_ORM = tuple(name for name in LAYERS["contracts"] if name.startswith("realtime."))
#: Modules that exist for the sake of a package.
OPTIONAL = {
    "channels.encryption": {"cryptography"},
    "realtime.brokers.redis": {"redis"},
    "realtime.brokers.layer": {"channels"},
    "realtime.gateway.protocol": {"uvicorn", "websockets"},
    "routing": {"channels"},
    "runners.celery": {"celery"},
}
#: Stand alone, beside what everybody reads; each is optional.
APART = (
    "channels", "gallery", "management", "push", "realtime.gateway", "runners", "samples",
    "testing", "tracking", "unsubscribe_pages",
)  # fmt: skip
ENGINE = ("fanout", "outbox", "inbox")
ENGINE_LIMIT, PACKAGE_LIMIT = 900, 8000  # lines of code
FILE_LIMIT = 400  # lines of any kind

pytestmark = pytest.mark.filterwarnings("default")


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name below `clarion`; the package itself is ""."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "migrations" not in path.parts:
            found[name_of(path)] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def name_of(path: Path) -> str:
    """The module of a file, as in `modules()`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for other in node.orelse:
                yield other
                yield from run_time_nodes(other)
            continue
        yield node
        yield from run_time_nodes(node)


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of the modules that are imported when the code runs, also inside functions."""
    for node in run_time_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix("clarion.")
                ours = node.module.split(".")[0] == "clarion" and inner in modules()
                yield f"clarion.{inner}" if ours else node.module


def imports_of_ours(name: str) -> set[str]:
    """The modules of the package that `name` imports, named as in `modules()`."""
    names = (found for found in imported(modules()[name]) if found.split(".")[0] == "clarion")
    return {found.removeprefix("clarion").lstrip(".") for found in names} - {name}


def owner(name: str) -> str | None:
    """The entry of LAYERS that `name` belongs to."""
    parts = name.split(".")
    candidates = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((found for found in candidates if found in HEIGHT), None)


def within(name: str, group: tuple[str, ...]) -> bool:
    return any(name == entry or name.startswith(entry + ".") for entry in group)


def lines_of_code(path: Path) -> int:
    """Lines with code on them: no blank lines, comments or docstrings."""
    source = path.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    prose: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        for text in getattr(node, "body", []) if isinstance(node, documented) else []:
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                prose |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    layout = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
        tokenize.ENDMARKER,
    }  # fmt: skip
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - prose)


def test_every_module_has_a_layer() -> None:
    homeless = [name for name in modules() if name and owner(name) is None]

    assert homeless == [], "give these a place in LAYERS, and in ARCHITECTURE.md"


def test_imports_point_down_only() -> None:
    upward = [
        f"{name} ({owner(name)}) imports {other}"
        for name in modules()
        for other in imports_of_ours(name)
        if other and HEIGHT[owner(other) or ""] > HEIGHT[owner(name) or ""]
    ]

    assert upward == []


def test_verbs_do_not_import_each_other() -> None:
    crossing = [
        f"{name} imports {other}"
        for name in modules()
        for other in imports_of_ours(name)
        if within(name, VERBS) and within(other, VERBS) and owner(name) != owner(other)
    ]

    assert crossing == []


def test_no_import_goes_in_a_circle() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in done:
            for other in sorted(at_import_time(name)):
                visit(other, (*path, name))
            done.add(name)

    for name in modules():
        visit(name, ())


def at_import_time(name: str) -> set[str]:
    """What `name` imports while it is loaded. Its own package has begun, and is no circle."""
    top = ast.Module(body=[], type_ignores=[])
    top.body = [node for node in run_time_nodes(modules()[name]) if not inside_function(name, node)]
    names = {
        found.removeprefix("clarion").lstrip(".")
        for node in top.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for found in imported(ast.Module(body=[node], type_ignores=[]))
        if found.split(".")[0] == "clarion"
    }
    return {found for found in names if found in modules() and not name.startswith(found + ".")} - {
        name,
        "",
    }


def inside_function(name: str, node: ast.AST) -> bool:
    return id(node) in _function_nodes(name)


@cache
def _function_nodes(name: str) -> frozenset[int]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return frozenset(
        id(inner)
        for node in ast.walk(modules()[name])
        if isinstance(node, functions)
        for inner in ast.walk(node)
    )


def test_hub_brokers_and_frames_know_nothing_of_the_orm() -> None:
    guilty = [
        f"{name} imports {found}"
        for name in modules()
        if within(name, WITHOUT_ORM)
        for found in imported(modules()[name])
        if found.startswith(("django.db", "django.contrib", "clarion.models"))
    ]

    assert guilty == []


def test_the_core_needs_nothing_but_django() -> None:
    allowed = {"django", "asgiref", "clarion"} | sys.stdlib_module_names
    foreign = [
        f"{name} imports {found}"
        for name in modules()
        for found in foreign_at_import(name)
        if found.split(".")[0] not in allowed | OPTIONAL.get(name, set())
    ]

    assert foreign == [], "import it where it is used, or list the module in OPTIONAL"


def foreign_at_import(name: str) -> Iterator[str]:
    for node in run_time_nodes(modules()[name]):
        if isinstance(node, ast.Import | ast.ImportFrom) and not inside_function(name, node):
            yield from imported(ast.Module(body=[node], type_ignores=[]))


def test_no_module_is_named_like_a_function_it_exports() -> None:
    doubles = [
        f"{name}.{node.name}"
        for name, tree in modules().items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.name == name.rpartition(".")[2]
    ]

    assert doubles == []


def test_no_public_name_hides_a_module() -> None:
    package = importlib.import_module("clarion")
    hidden = [name for name in package.__all__ if name in modules()]

    assert hidden == []


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "helpers", "common", "misc", "util"}

    assert [name for name in modules() if name.rpartition(".")[2] in drawers] == []


def test_the_engine_fits_into_a_head() -> None:
    sizes = {name: lines_of_code(PACKAGE / f"{name}.py") for name in ENGINE}

    assert sum(sizes.values()) < ENGINE_LIMIT, sizes


def test_the_package_stays_small() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts]
    sizes = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in files
    }

    core = [
        path
        for path in files
        if not within(name_of(path), APART) or name_of(path) == "channels.base"
    ]
    assert sum(map(lines_of_code, core)) < PACKAGE_LIMIT
    assert {name: size for name, size in sizes.items() if size > FILE_LIMIT} == {}
