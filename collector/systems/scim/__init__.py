"""Directories that speak SCIM 2.0."""
