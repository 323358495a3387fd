"""The part of registry that does I/O."""
