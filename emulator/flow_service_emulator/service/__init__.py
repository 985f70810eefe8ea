"""What the Flow Service does with entities, whatever protocol asks for it."""
