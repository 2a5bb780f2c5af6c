"""The steps: one verb a file; a task opens what it needs, calls the library once, and returns a small value."""
