"""The shell that parts share: clock, tasks, networks, the sandbox, pumps."""
