"""The part of client that does I/O."""
