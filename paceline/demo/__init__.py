"""An organisation that does not exist, told event by event: for trying Paceline out, and for its tests."""
