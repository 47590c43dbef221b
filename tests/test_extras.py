"""Each extra of the slim distribution works with its own packages alone.

The scripts in `tests/extras` run with a folder of links to the packages that the extra brings, and
no others. `make check-extras` runs them in environments with nothing else installed.
"""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CORE = tomllib.loads((ROOT / "packages/core/pyproject.toml").read_text())["project"]
WHOLE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {"core": [], **CORE["optional-dependencies"]}
SCRIPTS = sorted((ROOT / "tests/extras").glob("use_*.py"))


def requirements(lines):
    """Return the requirements, those of the named extras of the slim distribution included."""
    found = []
    for line in lines:
        requirement = Requirement(line)
        if requirement.name == CORE["name"]:
            for extra in requirement.extras:
                found += requirements(EXTRAS[extra])
        else:
            found.append(requirement)
    return found


def brought(extra):
    """Return the installed distributions that the extra needs, directly or through others."""
    waiting, seen, found = requirements(CORE["dependencies"] + EXTRAS[extra]), set(), {}
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        there = found[requirement.name] = distribution(requirement.name)
        for line in there.requires or ():
            inner = Requirement(line)
            of = requirement.extras or {""}
            if inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in of):
                waiting.append(inner)
    return found.values()


def link_packages(extra, folder):
    """Link the packages of an extra into a folder, as if they alone were installed."""
    for there in brought(extra):
        for top in {file.parts[0] for file in there.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(there.locate_file(top))))
    info = folder / "lightning_seg_core-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lightning_seg_core\nVersion: 0\n")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_extra_works_with_its_own_packages_alone(script, tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir()
    link_packages(script.stem.removeprefix("use_"), packages)
    ended = subprocess.run(
        [sys.executable, "-S", "-P", str(script)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{packages}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_both_distributions_have_the_same_bounds():
    names = set(CORE["optional-dependencies"])
    of_core = {str(r) for r in requirements([*CORE["dependencies"], *EXTRAS["train"]])}
    assert of_core == {str(Requirement(line)) for line in WHOLE["dependencies"]}
    for extra in names - {"callbacks", "train"}:
        given = {str(r) for r in requirements(EXTRAS[extra])} - of_core
        whole = WHOLE["optional-dependencies"][extra]
        assert given == {str(Requirement(line)) for line in whole}, extra


def test_the_message_of_a_missing_package_names_an_extra_of_both_distributions():
    sources = [path.read_text() for path in (ROOT / "lightning_seg").rglob("*.py")]
    named = {name for text in sources for name in re.findall(r'(?:needs|install)\("(\w+)"', text)}
    assert named <= set(CORE["optional-dependencies"])
    assert named - {"callbacks", "train"} <= set(WHOLE["optional-dependencies"])
