"""One file per family of indicators. A module here that has a FAMILY is found by its folder alone."""
