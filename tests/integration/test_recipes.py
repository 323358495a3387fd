"""The recipes of the documents pass as written: two at a time, in both modes of pytest-asyncio, in both loop scopes."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.support.cli import ROOT

RECIPES = ROOT / "docs" / "recipes"
SECONDS = 120


@pytest.mark.parametrize(("mode", "scope"), [("auto", "function"), ("strict", "session")])
def test_the_recipes(mode: str, scope: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        os.devnull,
        "--rootdir",
        str(RECIPES),
        "-W",
        "error",
        "-n",
        "2",
    ]
    command += ["-p", "no:cacheprovider", "-o", f"asyncio_mode={mode}"]
    command += ["-o", f"asyncio_default_fixture_loop_scope={scope}", "-o", f"asyncio_default_test_loop_scope={scope}"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, str(RECIPES)], capture_output=True, text=True, cwd=ROOT, env=env, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b1\d passed", done.stdout), done.stdout


def test_the_list_of_recipes_is_whole() -> None:
    listed = set(re.findall(r"\((test_\w+\.py)\)", (RECIPES / "README.md").read_text()))
    assert listed == {path.name for path in RECIPES.glob("test_*.py")}
