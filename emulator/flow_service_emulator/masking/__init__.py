"""What counts as a secret, by its name and by its looks, and how it is kept out of entities and texts."""
