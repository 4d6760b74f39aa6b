"""Many files through a network: threads decode while it runs, and what every exit said is kept."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext

from core.data.batch import Chunk, Files
from core.data.preprocess import Preprocessing
from core.network.early_exit import EarlyExitNetwork
from core.network.tracing import Outputs, run_network

Turn = Callable[[], AbstractContextManager[object]]


def listen(
    network: EarlyExitNetwork, files: Files, preprocessing: Preprocessing, start: int = 0, turn: Turn = nullcontext
) -> Generator[tuple[Chunk, Outputs], None, None]:
    """Decode and run files some at a time, in order; close it to stop.

    Args:
        network: in evaluation mode, on the device to use.
        start: place of the first file.
        turn: entered for each run of the network, so that others who use it get theirs in between.
    """
    with closing(files.prepare(preprocessing, start)) as chunks:
        for chunk in chunks:
            with turn():
                outputs = run_network(network, chunk.pictures, preprocessing)
            yield chunk, outputs
