"""Recordings of event cameras: files of seven formats in, events by time step out, and networks that take them as inputs."""

from neuro.events.binning import binned, stacked
from neuro.events.driving import driven_by_events
from neuro.events.reading import LabelledRecordings, read_events, read_recordings
from neuro.events.recording import Recording

__all__ = ["LabelledRecordings", "Recording", "binned", "driven_by_events", "read_events", "read_recordings", "stacked"]
