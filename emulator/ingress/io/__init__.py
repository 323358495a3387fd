"""Ingress on the wire: aiohttp's server in front, a pooled client behind; every choice is the router's.

The way in is controller.IngressController.
"""
