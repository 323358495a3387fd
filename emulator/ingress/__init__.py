"""Ingress as ingress-nginx does it: which rule takes a request, and what becomes of the request then.

The way in, in `router`:

    build(ingresses, classes, services, *, secret, config_map) -> Router        secret(ObjectKey) -> object or None
    Router.decide(request, *, rng, now=0.0, limiter=None) -> Proxy | Redirect | Respond
    Router.certificate(server_name) -> Certificate | None;  Router.problems: tuple[Problem, ...]

Everything outside io/ is pure: sockets, TLS and clocks are in io/. Words: `model`.
"""
