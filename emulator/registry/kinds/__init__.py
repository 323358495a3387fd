"""Defaulting and validation, one module per family of kinds."""
