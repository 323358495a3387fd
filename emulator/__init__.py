"""kubemu: a Kubernetes service network on one machine.

The public API is what this module names; nothing else is promised.
"""

__version__ = "0.1.0"
