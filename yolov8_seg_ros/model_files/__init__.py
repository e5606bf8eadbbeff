"""Find, download and inspect model files."""
