"""The rules of the house that no linter holds: sizes, names, mirrored tests, locks, words."""

import ast
import functools
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src" / "pipeops"
UNIT = ROOT / "tests" / "unit"
EXCEPTIONS = UNIT / "untested_modules.txt"

MAX_LINES = 500
MAX_README_LINES = 200
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
# Written in pieces, so that this file does not hold what it forbids.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("deb", "debian", "org"),
        ("crates", "io"),
    )
]
MACHINE_PATHS = [
    "/" + "/".join(parts) + "/" for parts in (("work",), ("tmp", "venv"), ("tmp", "v0"))
]


@functools.cache
def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    names = [name for name in listing.stdout.split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def has_logic(path: Path) -> bool:
    """A module that only declares data, names or exceptions needs no test of its own."""
    return any(
        not isinstance(statement, ast.Pass | ast.Expr)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not any(
            isinstance(mark, ast.Name) and mark.id == "overload" for mark in node.decorator_list
        )
        for statement in node.body
    )


def mirrored_test(module: Path) -> Path:
    return UNIT / module.relative_to(SOURCE).parent / f"test_{module.stem}.py"


def exceptions() -> dict[str, str]:
    lines = [line.strip() for line in EXCEPTIONS.read_text().splitlines()]
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "each line is a module and a reason"
    return dict(pairs)


def modules() -> list[Path]:
    return [path for path in python_files() if path.is_relative_to(SOURCE)]


def test_files_are_short() -> None:
    long = {
        relative(path): lines
        for path in python_files()
        if (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert not long, f"over {MAX_LINES} lines, cut them along a question they answer: {long}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES


def test_every_module_says_in_one_line_what_it_holds() -> None:
    places = (ROOT / "src", ROOT / "bench", ROOT / "tests" / "support")
    bad = []
    for path in python_files():
        if any(path.is_relative_to(place) for place in places):
            lines = (ast.get_docstring(tree(path)) or "").splitlines()
            if not lines or not lines[0].strip() or (len(lines) > 1 and lines[1].strip()):
                bad.append(relative(path))
    assert not bad, f"no docstring whose first line stands alone: {bad}"


def test_every_module_with_logic_has_its_unit_test() -> None:
    excused = exceptions()
    missing = [
        str(module.relative_to(SOURCE))
        for module in modules()
        if module.name not in {"__init__.py", "__main__.py"}
        and has_logic(module)
        and not mirrored_test(module).exists()
    ]
    assert not (new := sorted(set(missing) - set(excused))), f"modules without tests/unit/…: {new}"
    assert not (done := sorted(set(excused) - set(missing))), (
        f"remove from {relative(EXCEPTIONS)}, they have a test, no logic, or are gone: {done}"
    )


def test_every_unit_test_has_its_module() -> None:
    orphans = []
    for path in python_files():
        if path.is_relative_to(UNIT) and path.name.startswith("test_") and path.parent != UNIT:
            module = path.relative_to(UNIT).parent / path.name.removeprefix("test_")
            # The test kit lives beside the tests: tests/unit/support mirrors tests/support.
            if not (SOURCE / module).exists() and not (ROOT / "tests" / module).exists():
                orphans.append(relative(path))
    assert not orphans, f"tests of modules that do not exist: {orphans}"


def test_names_say_what_is_in_the_room() -> None:
    vague = [
        relative(path)
        for path in python_files()
        if VAGUE_NAMES & {path.stem, *path.relative_to(ROOT).parent.parts}
    ]
    assert not vague, f"a name that could hold anything: {vague}"


def test_unit_tests_do_not_sleep() -> None:
    sleepers = [
        f"{relative(path)}:{node.lineno}"
        for path in python_files()
        if path.is_relative_to(UNIT) and "sleep(" in path.read_text()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and is_sleep(node)
    ]
    assert not sleepers, f"move a clock instead: {sleepers}"


def is_sleep(call: ast.Call) -> bool:
    """Yielding to the loop once, `asyncio.sleep(0)`, waits for nothing."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name != "sleep" or getattr(getattr(call.func, "value", None), "id", "") not in {
        "time",
        "asyncio",
        "",
    }:
        return False
    return not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0)


def test_the_protocol_is_tested_without_mocks() -> None:
    mocked = [
        relative(path)
        for path in python_files()
        if path.is_relative_to(UNIT / "protocol") and "unittest.mock" in path.read_text()
    ]
    assert not mocked


def test_the_repository_names_no_registry_and_no_machine() -> None:
    words = [word.encode() for word in REGISTRY_HOSTS + MACHINE_PATHS]
    named = [
        f"{relative(path)}: {word.decode()}"
        for path in tracked()
        for word in words
        if word in path.read_bytes()
    ]
    assert not named


def normal(requirement: str) -> str:
    """The distribution's name as PEP 503 writes it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    return {
        normal(name): version
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("agent", []), ("control", ["control"]), ("dev", ["control", "dev"]), ("fuzz", ["fuzz"])],
)
def test_every_direct_dependency_is_locked(lock: str, extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    missing = sorted({normal(one) for one in wanted} - pins(lock).keys())
    assert not missing, f"run `make lock`: requirements/{lock}.txt lacks {missing}"


@pytest.mark.parametrize("lock", ["agent", "control", "fuzz", "build"])
def test_locks_agree_on_versions(lock: str) -> None:
    reference = pins("dev")
    different = {
        name: (version, reference[name])
        for name, version in pins(lock).items()
        if reference.get(name, version) != version
    }
    assert not different, f"run `make lock`: {different}"


def test_every_locked_package_has_a_hash() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for entry in re.split(r"^(?=[A-Za-z0-9])", path.read_text(), flags=re.MULTILINE):
            assert not entry.strip() or "--hash=sha256:" in entry, f"{path.name}: {entry[:60]}"
