"""Virtual IPs: what must listen where, and the pumps behind it."""
