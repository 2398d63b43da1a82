"""The commands by subject. Each is a thin call into the service; `paceline/cli.py` lists them."""
