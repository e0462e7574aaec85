"""Every data set: images, folders, event cameras."""

from .image_dataset import ImageDataset, MemoryImages
from .limited import limited
from .load import batches, data_root, load_images
from .pixels import to_float, to_uint8

__all__ = ["ImageDataset", "MemoryImages", "batches", "data_root", "limited", "load_images", "to_float", "to_uint8"]
