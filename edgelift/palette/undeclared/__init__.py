"""Images that packs use and do not declare: found in values, manifests and charts, each with where it is used.

Only `helm.py` (a program) and `folder.py` (files) do I/O; nothing asks a network.
"""
