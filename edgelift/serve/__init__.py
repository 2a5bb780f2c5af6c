"""An OCI registry over a bundle, a store or a directory."""
