"""Slices -> cores: a place for each slice, near those that it exchanges packets with, and the check of every limit."""
