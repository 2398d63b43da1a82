"""Stage 1: what happened. Sources turn what a system reports into events, and the store keeps them."""
