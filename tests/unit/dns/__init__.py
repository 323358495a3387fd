"""Unit tests of emulator.dns; no event loop."""
