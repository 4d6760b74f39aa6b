"""How fast a zip of images goes through decoding and network here, every exit heard."""

import io
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import torch

from core.checkpoints import CHECKPOINTS, load_network
from core.data.batch import Files
from core.data.embedded import load_embedded
from core.data.preprocess import to_image
from core.network.listening import listen

NAME = "cifar10/eenet20"
IMAGES = 1_000
REPEATS = 3


def run(name: str = NAME, n: int = IMAGES, root: Path = CHECKPOINTS) -> dict[str, Any]:
    """Measures a zip of test images as PNG, made in memory, on the CPU; the fastest of three runs.

    Args:
        name: of the checkpoint.
        n: how many images.
        root: where the checkpoint lies.
    """
    network, card = load_network(name, root=root)
    data = zip_of_images(card.dataset, n, root)
    runs = []
    for _ in range(REPEATS):
        wall, processor = time.perf_counter(), time.process_time()
        files = Files.open([("images.zip", data)])
        heard = sum(len(chunk.places) for chunk, _ in listen(network, files, card.preprocessing))
        runs.append((time.perf_counter() - wall, time.process_time() - processor, heard))
    seconds, processor_seconds, heard = min(runs)
    return {
        "benchmark": "many",
        "checkpoint": name,
        "n": heard,
        "zip_megabytes": round(len(data) / 1e6, 2),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "images_per_second": round(heard / seconds),
        "images_per_processor_second": round(heard / processor_seconds),
    }


def zip_of_images(dataset: str, n: int, root: Path = CHECKPOINTS) -> bytes:
    """The first test images that travel with the checkpoints, as PNG files in a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for row, picture in enumerate(load_embedded(dataset, root)[:n]):
            file = io.BytesIO()
            to_image(picture).save(file, "PNG")
            archive.writestr(f"images/{row:05}.png", file.getvalue())
    return buffer.getvalue()
