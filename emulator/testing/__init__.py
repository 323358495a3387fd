"""Clusters for tests: in a thread of their own (thread.py), blocking (sync.py), for any event loop (view.py), and as
fixtures of pytest (plugin.py, the entry point `kubemu`).
"""
