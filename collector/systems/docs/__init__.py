"""Documentation that stands in a repository."""
