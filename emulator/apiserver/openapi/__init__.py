"""The API's own description, in the forms clients ask for: OpenAPI v3 a group version, OpenAPI v2 as JSON and protobuf.

All of it is made from the table of kinds and the field tables; nothing is written down twice. Way in: documents.py.
"""
