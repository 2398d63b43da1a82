"""CDEvents."""
