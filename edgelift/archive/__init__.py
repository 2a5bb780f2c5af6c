"""Finished bundles kept elsewhere."""
