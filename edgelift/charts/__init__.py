"""Helm charts: from where packs name them to OCI artifacts that travel as images do."""
