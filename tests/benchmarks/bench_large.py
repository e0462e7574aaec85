"""A large data set as a folder and as tar shards: start-up, memory, images a second.

    python tests/benchmarks/bench_large.py FOLDER [--images 1000000]

Grey PNG files of 32 x 32 pixels: 1,000 pictures of noise, in files that all differ; 10 classes, splits train and
test, shards of 10,000. They are written to FOLDER/1000000, some 7 GB, if they are not there; indices are made anew.
Each row is a process of its own with one thread. `start` is what every training does first, load the splits train and
test; `hash` the content hash that ties checkpoints to their data; images a second: batches of 64 of the train split in
a random order. Times are CPU seconds of the process and its reader (and, in brackets, seconds that passed), so that
other programs on the machine count for little. Memory is the largest resident set; `import` was there before the data.
The page cache holds what fits: the disk is not measured.
"""

import argparse
import io
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timing import machine

from fsvae_tcja.data import batches, load_images
from fsvae_tcja.data.root import ROOT_VARIABLE
from fsvae_tcja.utils.progress import progress

OF_SHARD, CLASSES, BATCH = 10_000, 10, 64
PICTURES = 1000


@cache
def pictures() -> list[bytes]:
    rng, files = np.random.default_rng(0), [io.BytesIO() for _ in range(PICTURES)]
    for file in files:
        Image.fromarray(rng.integers(0, 256, (32, 32), np.uint8)).save(file, "PNG", compress_level=1)
    return [file.getvalue() for file in files]


def image(i: int) -> bytes:
    """A PNG file whose last chunk but one is a text of its own."""
    chunk, whole = b"tEXtnumber\0%012d" % i, pictures()[i % PICTURES]
    return whole[:-12] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[-12:]


def write(whole: Path, images: int) -> None:
    """Of every ten images one is of the test split. Nothing is at `whole` before all is there."""
    folder = whole.with_name(f"{whole.name}-unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    tars = folder / "shards"
    for split in ("train", "test"):
        for label in range(CLASSES):
            (folder / "files" / split / str(label)).mkdir(parents=True)
    tars.mkdir()
    with progress("writing", images, "images") as bar:
        for start in range(0, images, OF_SHARD):
            split = "test" if start // OF_SHARD % 10 == 9 else "train"
            with tarfile.open(tars / f"{split}-{start // OF_SHARD:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
                for i in range(start, min(start + OF_SHARD, images)):
                    name, data = f"{i % CLASSES}/{i:07d}.png", image(i)
                    (folder / "files" / split / name).write_bytes(data)
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
            bar.advance(OF_SHARD)
    folder.rename(whole)


def peak() -> float:
    """MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu() -> float:
    """Seconds of this process and of those that it has waited for."""
    times = os.times()
    return sum(times[:4])


@contextmanager
def timed(found: dict[str, str], what: str, images: int = 0) -> Iterator[None]:
    """Seconds, or images a second."""
    began, began_cpu = time.perf_counter(), cpu()
    yield
    took = [cpu() - began_cpu, time.perf_counter() - began]
    shown = [f"{images / x if images else x:,.1f}" for x in took]
    found[what] = f"{shown[0]} ({shown[1]})"


def measure(place: str, read: int) -> dict[str, str]:
    """What one process takes."""
    found = {"import, MB": f"{peak():,.0f}"}
    with timed(found, "start, s"):
        train, test = (load_images(place, split) for split in ("train", "test"))
    found |= {"start, MB": f"{peak():,.0f}", "images": f"{len(train) + len(test):,}"}
    with timed(found, "hash, s"):
        assert train.content_hash
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:read]
    for workers in (0, 1):
        with timed(found, f"images/s, {workers} workers", len(order)):
            assert sum(len(labels) for _, labels in batches(train, BATCH, order=order, num_workers=workers)) == len(
                order
            )
    return found | {"MB": f"{peak():,.0f}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--read", type=int, default=50_000, help="images, in a random order")
    parser.add_argument("--only", choices=("files", "shards"))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        torch.set_num_threads(1)
        print(json.dumps(measure(options.measure, options.read)))
        return
    images = options.folder / str(options.images)
    if not images.is_dir():
        write(images, options.images)
    print(machine(), flush=True)
    root = images / "root"  # for indices that cannot lie beside their shards
    shutil.rmtree(root, ignore_errors=True)
    for index in (images / "shards").glob("*.index"):
        index.unlink()
    environment = os.environ | {"OMP_NUM_THREADS": "1", ROOT_VARIABLE: str(root)}
    for kind, time_of in (("files", "first"), ("files", "again"), ("shards", "first"), ("shards", "again")):
        if options.only in (None, kind):
            command = [sys.executable, __file__, str(options.folder), "--read", str(options.read)]
            command += ["--measure", str(images / kind)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
            figures = json.loads(done.stdout.splitlines()[-1])
            print(f"{kind}, {time_of}: " + ", ".join(f"{name} {x}" for name, x in figures.items()), flush=True)


if __name__ == "__main__":
    main()
