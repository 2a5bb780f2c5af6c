"""The content bundle: definition, lock, and the seekable .tar.zst file."""
