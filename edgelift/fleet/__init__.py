"""Many sites at once: which of them share a build, who comes first, when to stop, and what came of it."""
