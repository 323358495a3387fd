"""What kubectl speaks: URLs, discovery, negotiation, tables."""
