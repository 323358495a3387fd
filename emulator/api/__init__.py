"""What an object is: kinds, names, selectors, patches, errors. Imports nothing of ours.

A manifest is the JSON of Kubernetes as it stands, a `JsonObject`; unknown fields are kept.
A part that needs a few fields of it parses them once into a frozen dataclass of its own.
"""
