"""Tests with tools of others that take long to install: `make interop` runs them, the usual run leaves them out."""

import os

if os.environ.get("EDGELIFT_INTEROP") != "1":
    collect_ignore_glob = ["test_*.py"]
