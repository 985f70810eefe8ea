"""Schedules, runs, and their exported files."""
