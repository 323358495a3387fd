"""Mirrors emulator/registry/kinds."""
