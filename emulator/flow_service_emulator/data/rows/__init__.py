"""Made-up rows: a dataset's schema becomes columns, a seed and a range of positions become rows."""
