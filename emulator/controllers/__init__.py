"""One file per controller: a declaration and a pure plan(key, view, at) -> Changes."""
