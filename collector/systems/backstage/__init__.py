"""Backstage."""
