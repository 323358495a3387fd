"""Make the virtual environment, also on a Debian whose python3 comes without the venv package.

Used by the Makefile: `python3 tools/make_venv.py .venv`.
"""

from __future__ import annotations

import subprocess
import sys


def main(folder: str) -> int:
    if sys.version_info < (3, 11):
        print(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; try: make PYTHON=python3.11 setup")
        return 1
    made = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        return 0
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    installed = subprocess.run(["sh", "tools/install_packages.sh", package], check=False)
    if installed.returncode == 0:
        return subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=False).returncode
    print(f"python3 -m venv failed; install it with: apt-get install {package}\n{made.stdout}{made.stderr}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
