"""The emulator's own calls under `/__emulator/`, and its dashboard."""
