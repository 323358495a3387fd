"""The part of store that does I/O."""
