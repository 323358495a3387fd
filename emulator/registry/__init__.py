"""The API server without HTTP: default, admit, validate, allocate, commit."""
