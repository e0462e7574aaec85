"""Images in tar shards, as WebDataset has them: found, indexed, and read from their places."""

from .find import means_shards
from .load import ShardContents, inspect_shards, load_shards

__all__ = ["ShardContents", "inspect_shards", "load_shards", "means_shards"]
