"""What a Prometheus server answers, and what its values mean."""
