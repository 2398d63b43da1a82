"""CircleCI."""
