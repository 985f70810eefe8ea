"""Exported files: their folders, names, forms and bytes."""
