"""Images that packs use and do not declare: found in values, manifests and charts, each with where it is used.

Nothing here takes a pack apart on the disk or asks a network; only `helm.py` (a program) and `folder.py` (files) do I/O.
"""
