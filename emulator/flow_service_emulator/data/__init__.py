"""What is exported: made-up rows, datasets (built in and a user's own), and the forms of their files."""
