"""Mirrors emulator/apiserver."""
