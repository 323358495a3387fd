"""Mirrors emulator/registry."""
