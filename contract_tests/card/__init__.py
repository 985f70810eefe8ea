"""The user's card: what users do, from outside. It stays green whatever is rewritten, and changes only with a public name."""
