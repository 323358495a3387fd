"""Server-side apply as data: who owns which fields, and what an applied configuration makes of an object.

Way in: `ownership.update` and `ownership.apply`. A *field set* is a FieldsV1 tree as it stands on the wire
(`fieldsets`); a *shape* says of each field how it is owned, whole or item by item (`shapes`); `typed` walks values
by their shape. Knows nothing of HTTP, of storage or of metadata.managedFields; changes nothing it is handed.
Source: sigs.k8s.io/structured-merge-diff v6.
"""
