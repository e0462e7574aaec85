"""A model in the formats of other programs, one a file; commands/exporting.py lists them."""
