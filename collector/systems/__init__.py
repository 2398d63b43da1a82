"""What systems say, for sources that read much of one: its payloads, what they mean, what it sends by itself."""
