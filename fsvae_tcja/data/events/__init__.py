"""Recordings of event cameras: formats, frames, splits, cache, and a synthetic set."""

from .dataset import EventFrames
from .frames import to_frames
from .load import load_events
from .sources import EVENT_SETS, EventSet

__all__ = ["EVENT_SETS", "EventFrames", "EventSet", "load_events", "to_frames"]
