"""Finished bundles kept elsewhere: in S3, in a directory, in a registry. `place` has the port they share."""
