"""The Flow Service's own HTTP interface, behind its gateway."""
