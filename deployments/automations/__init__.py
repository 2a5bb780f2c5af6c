"""What Prefect does by itself: a module for each occasion, and in it `automations()`, which gives what to deploy."""
