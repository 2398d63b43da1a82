"""One file per source. A module here whose class derives from SourceConfig is found by its folder alone."""
