"""Where edgelift runs: blocks and deployments, one per edge site."""
