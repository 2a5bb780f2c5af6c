"""The content-addressed working store."""
