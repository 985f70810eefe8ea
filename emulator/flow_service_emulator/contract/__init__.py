"""What is seen of clients, with secrets masked, and what is said of it."""
