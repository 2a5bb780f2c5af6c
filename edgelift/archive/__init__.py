"""Finished bundles kept elsewhere: in S3, in a directory. `place` has the port they share."""
