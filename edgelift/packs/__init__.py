"""Packs: those of profiles in OCI pack registries, and local ones, which become artifacts of the same form."""
