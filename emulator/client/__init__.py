"""How parts reach the API: the Client protocol, and informers that keep an index of a kind."""
