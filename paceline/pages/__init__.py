"""The pages for people: one module for each, which brings its route; `look` holds what they share."""
