"""The limit of open files is raised to what is allowed, and no further."""

from __future__ import annotations

import resource
import subprocess
import sys

PROGRAM = """
import resource
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
from emulator.io.openfiles import raise_open_file_limit
print(raise_open_file_limit() == hard, raise_open_file_limit() == hard)
"""


def test_the_soft_limit_becomes_the_hard_one() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
