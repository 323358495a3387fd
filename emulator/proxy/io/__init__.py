"""The part of proxy that does I/O."""
