"""Redmine: what its API hands out, and what becomes of it."""
