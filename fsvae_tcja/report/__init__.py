"""A training run as one self-contained HTML page, and several of them side by side."""

from ..utils.program import check_not_hidden

check_not_hidden("eval")  # before it is imported
