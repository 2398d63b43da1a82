"""Who may ask for what: sign-in, tokens, roles, limits, and the record of what people did."""
