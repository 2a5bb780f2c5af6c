"""The story: each flow reads as the sentence it carries out. No logic, no classes, no I/O."""
