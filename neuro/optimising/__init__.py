"""Smaller and sparser networks, searched for with the emulated chip's own bill as the measure."""
