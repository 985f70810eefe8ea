"""flow-service-emulator: a local emulator of Adobe Experience Platform's Flow Service (dataset export)."""

__version__ = "0.1.0"
