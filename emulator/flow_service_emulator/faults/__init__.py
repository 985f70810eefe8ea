"""Injected faults: rules, scenarios, and what they hit."""
