"""The contract report in its forms."""
