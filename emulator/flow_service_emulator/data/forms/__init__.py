"""The forms of exported files: NDJSON and Parquet, with GZIP or without."""
