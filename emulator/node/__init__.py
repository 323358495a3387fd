"""The node agent: pod lifecycle, probes, variables, resolv.conf."""
