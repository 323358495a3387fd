"""Tests of emulator/pki."""
