"""The part of dns that does I/O."""
