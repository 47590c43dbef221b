"""Imports between the rooms of the package point downward only.

A room imports only from itself and from lower floors, so losses need no data and a plain PyTorch
loop needs no Lightning. Imports inside functions and for type checking count too. Modules outside
all rooms (errors, files, ...) may be imported everywhere and import no room.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lightning_seg

PACKAGE = Path(lightning_seg.__file__).parent
FLOORS = (
    ("targets",),
    ("networks", "metrics"),
    ("losses",),
    ("heads", "inference", "data"),
    ("tasks", "callbacks", "testing"),
    ("prediction", "experiments"),
    ("cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
NO_LIGHTNING = {"targets", "networks", "metrics", "losses", "heads", "inference"}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """Return the room of a module, or the name of a module outside all rooms."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import of a module, at any depth."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def rooms_imported(path: Path) -> Iterator[tuple[int, str]]:
    for line, name in imported(path):
        package, _, within = name.partition(".")
        if package == "lightning_seg" and within:
            yield line, within.split(".")[0]


def allowed(room: str) -> set[str]:
    floorless = {room_of(path) for path in FILES} - set(FLOOR)
    if room == "__init__":
        return floorless
    if room not in FLOOR:
        return floorless
    below = {other for other, floor in FLOOR.items() if floor < FLOOR[room]}
    return floorless | below | {room}


@pytest.mark.parametrize("room", sorted({room_of(path) for path in FILES}))
def test_a_room_imports_from_floors_below_its_own(room):
    violations = [
        f"{path.relative_to(PACKAGE)}:{line} imports {other}"
        for path in FILES
        if room_of(path) == room
        for line, other in rooms_imported(path)
        if other not in allowed(room)
    ]
    assert violations == []


@pytest.mark.parametrize("room", sorted(NO_LIGHTNING))
def test_a_room_for_plain_pytorch_does_not_import_lightning(room):
    violations = [
        f"{path.relative_to(PACKAGE)}:{line} imports {name}"
        for path in (PACKAGE / room).rglob("*.py")
        for line, name in imported(path)
        if name.split(".")[0] in ("lightning", "pytorch_lightning")
    ]
    assert violations == []


def test_every_folder_of_the_package_has_a_floor():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(FLOOR)
