"""A training run as one self-contained HTML page, and several of them side by side."""
