"""Measures the emulator beside its floor: `python -m contract_tests.bench`. Not part of the test run."""
