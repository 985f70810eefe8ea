"""`check`: recorded traffic of the real service, held against the emulator, both ways."""
