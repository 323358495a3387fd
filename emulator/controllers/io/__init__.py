"""The part of controllers that does I/O."""
