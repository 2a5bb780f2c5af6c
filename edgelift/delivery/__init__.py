"""Delivery: where a reference lands at the target, what would stand in its way, and the proof that it arrived."""
