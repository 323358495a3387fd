"""Cluster DNS: names, records, answers, and the engine that joins them."""
