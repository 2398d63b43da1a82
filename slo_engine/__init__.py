"""Stage 2: what it means. Indicators turn events into observations, and those into numbers, SLOs and rules."""
