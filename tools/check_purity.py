"""The twin of the import contract: no `async`, `await`, `open` or clock outside io/, cluster.py, composition.py, cli/ and testing/.

Run by `make check`; prints each breach as file:line and exits 1.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent / "emulator"
FREE = {"io", "cli", "testing"}
FREE_FILES = {"cluster.py", "composition.py", "__main__.py"}
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("date", "today")}


def breaches(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield node.lineno, type(node).__name__
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "open":
                yield node.lineno, "open()"
            if (
                isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and (node.func.value.id, node.func.attr) in CLOCKS
            ):
                yield node.lineno, f"{node.func.value.id}.{node.func.attr}()"


def main() -> int:
    found = 0
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if FREE & set(parts) or (parts[-1] in FREE_FILES and len(parts) == 1):
            continue
        for line, what in breaches(ast.parse(path.read_text())):
            print(f"{path.relative_to(ROOT.parent)}:{line}: {what} belongs in an io/ folder")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
