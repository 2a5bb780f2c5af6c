"""Palette: its API, profiles, macros, and the images and charts that packs declare."""
