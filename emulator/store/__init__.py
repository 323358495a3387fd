"""Revisions and watch: one counter, one ordered history."""
