"""The OCI image and distribution specifications: names, manifests, registries, and copying between stores."""
