"""What became of a run, for the person who looks after it: one page, and tables for the orchestrator. Pure."""
