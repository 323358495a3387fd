"""The part of apiserver that does I/O."""
