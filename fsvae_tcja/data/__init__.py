"""Every data set: images, folders, event cameras. One record a set, one kind of dataset."""

from .dataset import LabelledDataset, Subset, limited, split_off
from .events import EVENT_SETS, EventFrames, load_events
from .folder import inspect_folder
from .image_dataset import FileImages, MemoryImages
from .image_sets import IMAGE_SETS, ImageSet
from .inputs import time_first, to_input
from .load import load_images
from .names import located, parse_name
from .pixels import to_float, to_uint8
from .root import data_root
from .shards import inspect_shards
from .workers import batches

__all__ = [
    "EVENT_SETS",
    "IMAGE_SETS",
    "EventFrames",
    "FileImages",
    "ImageSet",
    "LabelledDataset",
    "MemoryImages",
    "Subset",
    "batches",
    "data_root",
    "inspect_folder",
    "inspect_shards",
    "limited",
    "load_events",
    "load_images",
    "located",
    "parse_name",
    "split_off",
    "time_first",
    "to_float",
    "to_input",
    "to_uint8",
]
