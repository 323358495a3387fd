"""Run any file of recorded cases: `python -m tests.conformance.run FILE...`, which `make conformance` calls.

What a file holds says which runner takes it: `scenarios` are API scenarios, `fixture` or `server` DNS cases,
`cases` with `expect_exact` or `expect_contains` variables, with `rules` or `ingresses` Ingress routing, which is asked of the
rules and, with curl, of a cluster.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml


def runner_of(document: Any) -> str | None:
    """The module that runs this document, or None."""
    if not isinstance(document, dict):
        return None
    if "scenarios" in document:
        return "tests.conformance.api_replay"
    if "fixture" in document or "server" in document:
        return "tests.conformance.dns_runner"
    cases = document.get("cases")
    if isinstance(cases, list) and any("expect_exact" in case or "expect_contains" in case for case in cases):
        return "tests.conformance.envvars_runner"
    if isinstance(cases, list) and any("rules" in case or "ingresses" in case for case in cases):
        return "tests.conformance.ingress_runner"
    return None


def main(files: list[str]) -> int:
    status = 0
    for file in files:
        text = Path(file).read_text()
        document = json.loads(text) if file.endswith(".json") else yaml.safe_load(text)
        module = runner_of(document)
        if module is None:
            print(f"{file}: neither API scenarios, DNS cases, variables nor Ingress cases")
            status = 2
            continue
        status = max(status, subprocess.run([sys.executable, "-m", module, file], check=False).returncode)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
