"""What `from emulator import ...` promises."""

import emulator


def test_every_public_name_is_there() -> None:
    assert all(getattr(emulator, name).__name__ == name for name in emulator.__all__)
