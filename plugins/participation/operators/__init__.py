"""Operators: only where a task needs a link, a template or a person."""
