"""Carry decisions out: images into a folder for each class, and back again."""
