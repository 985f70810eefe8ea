"""Which datasets there are, and the rows of those that are a user's own."""
