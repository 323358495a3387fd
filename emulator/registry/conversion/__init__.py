"""The shapes an object may be spoken of in besides the stored one, and the pure functions between them."""
