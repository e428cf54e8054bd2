"""The rules of the architecture, held by reading the code: sizes, who knows time, writes tables, runs commands."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "micronova"
ROOMS = ("identity", "image", "network", "volume", "scheduler", "compute")
FILE_LINES, FUNCTION_LINES, ARGUMENTS, PROTOCOL_METHODS = 500, 60, 6, 12
TIME = {"time", "random", "uuid", "secrets", "uuid_utils"}
RUNS_COMMANDS = ("drivers/", "guestimage/", "cli/", "stores/", "testing/", "command.py")
CATCHES_ALL = {"runner.py", "service.py", "rpc.py", "http.py", "bus/handling.py", "db/database.py", "db/tx.py"}


def sources() -> list[tuple[str, ast.Module, str]]:
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        text = file.read_text()
        found.append((file.relative_to(PACKAGE).as_posix(), ast.parse(text), text))
    return found


SOURCES = sources()
pytestmark = pytest.mark.slow


@functools.cache
def walk(tree: ast.AST) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree))


def imports(tree: ast.AST) -> list[str]:
    """Every module a tree imports, `from a import b` as both a and a.b."""
    names = []
    for node in walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def room_of(name: str) -> str:
    first = name.split("/")[0]
    return first if first in ROOMS else ""


def test_no_file_is_longer_than_a_person_reads_at_once():
    assert [] == [(name, text.count("\n")) for name, _, text in SOURCES if text.count("\n") > FILE_LINES]


def test_no_function_is_longer_than_a_screen():
    long = [
        (name, function.name, function.end_lineno - function.lineno + 1)
        for name, tree, _ in SOURCES
        for function in functions(tree)
        if function.end_lineno - function.lineno + 1 > FUNCTION_LINES
    ]

    assert [] == long


def test_no_function_takes_more_arguments_than_one_can_keep_apart():
    many = [
        (name, function.name)
        for name, tree, _ in SOURCES
        for function in functions(tree)
        if len([a for a in function.args.posonlyargs + function.args.args if a.arg not in ("self", "cls", "ctx")])
        > ARGUMENTS
    ]

    assert [] == many


def test_protocols_of_drivers_stay_narrow():
    wide = [
        (name, node.name)
        for name, tree, _ in SOURCES
        for node in walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
        and len([item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)])
        > PROTOCOL_METHODS
    ]

    assert [] == wide


def test_every_module_and_public_class_says_what_it_is_for():
    silent = [name for name, tree, text in SOURCES if text.strip() and not ast.get_docstring(tree)]
    unsaid = [
        (name, node.name)
        for name, tree, _ in SOURCES
        for node in tree.body
        if isinstance(node, ast.ClassDef) and name.endswith("manager.py") and not ast.get_docstring(node)
    ]

    assert ([], []) == (silent, unsaid)


def test_nothing_but_the_clock_knows_time_and_chance():
    wrong = [
        (name, module)
        for name, tree, _ in SOURCES
        for module in imports(tree)
        if module.split(".")[0] in TIME and name != "clock.py"
    ]
    now = [
        (name, node.lineno)
        for name, tree, _ in SOURCES
        for node in walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("utcnow", "today") and name != "clock.py"
    ]
    aware = [(name, "datetime.now") for name, _, text in SOURCES if "datetime.now(" in text and name != "clock.py"]

    assert ([], [], []) == (wrong, now, aware)


def test_no_module_keeps_state_for_all_clouds():
    globals_used = [
        (name, node.lineno) for name, tree, _ in SOURCES for node in walk(tree) if isinstance(node, ast.Global)
    ]
    caches = [
        (name, function.name)
        for name, tree, _ in SOURCES
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
        for decorator in function.decorator_list
        if "lru_cache" in ast.unparse(decorator) or ast.unparse(decorator).endswith("cache")
    ]
    lower = [
        (name, target.id)
        for name, tree, _ in SOURCES
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Dict | ast.Set)
        for target in node.targets
        if isinstance(target, ast.Name) and not target.id.lstrip("_").isupper() and not target.id.startswith("__")
    ]

    assert ([], [], []) == (globals_used, caches, lower)


def test_only_the_owner_room_touches_its_tables():
    """Another room's rows may be read as values; they are neither made nor asked of the database there."""
    foreign = [
        (name, row, node.lineno)
        for name, tree, _ in SOURCES
        if not name.startswith(("testing/", "sim/"))
        for row in foreign_rows(name, tree)
        for node in walk(tree)
        if isinstance(node, ast.Call)
        and any(isinstance(part, ast.Name) and part.id == row for part in (node.func, *node.args))
    ]

    assert [] == foreign


def foreign_rows(name: str, tree: ast.Module) -> list[str]:
    """Names a module imports from another room's db."""
    return [
        alias.asname or alias.name
        for node in walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for room in ROOMS
        if node.module.startswith(f"micronova.{room}") and node.module.split(".")[-1] == "db" and room_of(name) != room
        for alias in node.names
    ]


def test_drivers_know_no_database_project_or_manager():
    forbidden = (
        "micronova.db",
        "micronova.manager",
        "micronova.context",
        "micronova.tasks",
        "micronova.rpc",
        "micronova.wiring",
    )
    wrong = [
        (name, module)
        for name, tree, _ in SOURCES
        if "/drivers/" in name or "/stores/" in name
        for module in imports(tree)
        if module.startswith(forbidden) or (module.startswith("micronova.") and module.split(".")[-1] == "db")
    ]

    assert [] == wrong


def test_no_manager_runs_a_host_command():
    wrong = [
        (name, module)
        for name, tree, _ in SOURCES
        for module in imports(tree)
        if module in ("micronova.command", "subprocess") and not any(part in name for part in RUNS_COMMANDS)
    ]

    assert [] == wrong


def test_only_the_edges_catch_every_exception():
    wrong = [
        (name, node.lineno)
        for name, tree, _ in SOURCES
        for node in walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
        and name not in CATCHES_ALL
    ]

    assert [] == wrong


def test_no_names_that_say_nothing():
    words = ("Helper", "Util", "Impl", "Misc", "Common")
    wrong = [
        (name, node.name)
        for name, tree, _ in SOURCES
        for node in walk(tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith(words)
    ]
    files = [name for name, _, _ in SOURCES if Path(name).stem in ("common", "util", "utils", "helpers", "misc")]

    assert ([], []) == (wrong, files)


def test_rooms_point_one_way():
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_architecture_page_names_only_files_that_exist():
    page = ROOT / "doc" / "architecture.md"
    words = page.read_text().split()
    named = [word.strip("`") for word in words if word.startswith("`") and word.endswith((".py`", "/`"))]

    assert named
    assert [] == [name for name in named if not (PACKAGE / name).exists() and not (ROOT / name).exists()]


@pytest.mark.parametrize("name", ["up", "test", "bootstrap", "fix", "bench", "console", "sim"])
def test_the_scripts_everybody_knows_are_there(name):
    file = ROOT / "script" / name

    assert file.exists()
    assert file.stat().st_mode & 0o111
