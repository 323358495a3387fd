"""The part of node that does I/O."""
