"""Recordings of event cameras: files of seven formats in, events by time step out. Knows nothing of networks."""

from neuro.events.binning import binned, stacked
from neuro.events.reading import LabelledRecordings, read_events, read_recordings
from neuro.events.recording import Recording

__all__ = ["LabelledRecordings", "Recording", "binned", "read_events", "read_recordings", "stacked"]
