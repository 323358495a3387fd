"""Which endpoints may take a connection, and which one does."""
