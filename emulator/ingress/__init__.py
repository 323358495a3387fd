"""Ingress as ingress-nginx does it: which rule takes a request, and what becomes of the request then.

The way in, in `router`:

    build(ingresses, classes, *, secret, config_map) -> Router      secret(ObjectKey) -> the Secret or None
    Router.decide(request, *, rng, now=0.0, limiter=None) -> Proxy | Redirect | Respond
    Router.certificate(server_name) -> Certificate | None;  Router.problems: tuple[Problem, ...]

`balance.Balancer.choose` then says which endpoint gets a Proxy, `ratelimit.ConnectionLimiter` whether one more may be
served, `headers` what becomes of headers on the way, `events` which problems to tell. Settings come from `annotations` on
top of `controllerconfig`; the names of both stand in `catalogue` and `configkeys`.

Everything outside io/ is pure: sockets, TLS and clocks are in io/. Words: `model`.
"""
