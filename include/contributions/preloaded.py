"""Build the embedded reviewer on import, for processes that fork others: each child finds it ready."""

from include.contributions.reviewer import embedded_reviewer

embedded_reviewer()
