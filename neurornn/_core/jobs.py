"""The same function over many cells, sessions or seeds: in processes or on a Dask cluster.

Work is cut into chunks. A finished chunk is written atomically, so that Ctrl-C, a power cut or a
lost worker costs one chunk, and a second run continues where the first one stopped.
"""

import contextlib
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from neurornn._core.errors import DataError, ResumeError
from neurornn._core.files import atomic_path, fingerprint

Chunk = Mapping[str, NDArray[Any]]
MANIFEST = "manifest.json"
#: Chunks per thread of a cluster that are handed out before the first one is back.
_AHEAD = 3


def chunk_slices(n_items: int, chunk_size: int) -> list[slice]:
    """Cut ``range(n_items)`` into consecutive slices of at most `chunk_size`."""
    step = max(1, int(chunk_size))
    return [slice(k, min(k + step, n_items)) for k in range(0, n_items, step)]


def run_chunks(
    function: Callable[..., Chunk],
    chunks: Sequence[Sequence[Any]],
    *,
    shared: tuple[Any, ...] = (),
    n_jobs: int = 1,
    client: Any = None,
    progress: bool | Callable[[int, int], None] = False,
    label: str = "",
    partial: str | os.PathLike[str] | None = None,
    key: str | None = None,
) -> list[dict[str, NDArray[Any]]]:
    """Call ``function(*chunk, *shared)`` for every chunk and return the results in order.

    Parameters
    ----------
    function : picklable function of module level that returns a dict of arrays (no object arrays).
    chunks : the leading arguments of each call. A sequence that makes its items when asked for
        them keeps only those in memory that are being worked on; Dask arrays among the arguments
        are computed on the workers of `client`.
    shared : arguments that every call gets.
    n_jobs : processes on this machine; -1 for one per core.
    client : a ``dask.distributed.Client``; the chunks then run on its workers, `n_jobs` is unused.
    progress : show a bar (never where the output is not a terminal), or a callable
        ``(done, total)``.
    partial : folder in which finished chunks are kept until the caller removes it.
    key : hash of data and settings; by default one is made from `chunks` and `shared`. A folder
        that belongs to another key is refused.

    Returns
    -------
    list of dict of arrays, one per chunk

    Raises
    ------
    DataError
        ``n_jobs`` is 0.
    ResumeError
        The folder holds results of other data or other settings.
    """
    if n_jobs == 0:
        raise DataError(
            "n_jobs is 0",
            "A number of processes was needed, or -1 for one per core",
            "Pass n_jobs=1 to stay in this process",
        )
    store = None if partial is None else _Store(Path(partial), len(chunks), key, chunks, shared)
    results: dict[int, dict[str, NDArray[Any]]] = {}
    if store is not None:
        results = store.finished()
    todo = [k for k in range(len(chunks)) if k not in results]
    work = ((k, chunks[k]) for k in todo)
    try:
        with progress_bar(len(chunks), len(results), progress, label) as tick:
            for k, result in _execute(function, work, len(todo), shared, n_jobs, client):
                results[k] = dict(result)
                if store is not None:
                    store.write(k, results[k])
                tick()
    finally:
        if store is not None:
            store.forget_if_empty()
    return [results[k] for k in range(len(chunks))]


def _execute(
    function: Callable[..., Chunk],
    work: Iterator[tuple[int, Sequence[Any]]],
    n_work: int,
    shared: tuple[Any, ...],
    n_jobs: int,
    client: Any,
) -> Iterator[tuple[int, Chunk]]:
    if client is not None:
        yield from _on_cluster(function, work, shared, client)
    elif n_jobs == 1 or n_work <= 1:
        for k, chunk in work:
            yield k, _call(function, tuple(chunk), shared)
    else:
        from joblib import Parallel, delayed

        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
        yield from parallel(
            delayed(_call_numbered)(k, function, tuple(chunk), shared) for k, chunk in work
        )


def _on_cluster(
    function: Callable[..., Chunk],
    work: Iterator[tuple[int, Sequence[Any]]],
    shared: tuple[Any, ...],
    client: Any,
) -> Iterator[tuple[int, Chunk]]:
    """Keep a few chunks per thread of the cluster under way, the others not yet made."""
    from dask.base import is_dask_collection
    from dask.distributed import as_completed

    numbers: dict[Any, int] = {}

    def submit() -> Any:
        k, chunk = next(work)
        arguments = tuple(client.compute(a) if is_dask_collection(a) else a for a in chunk)
        future = client.submit(_call, function, arguments, shared, pure=False, retries=3)
        numbers[future] = k
        return future

    n_threads = max(sum(client.nthreads().values()), 1)
    running = as_completed()
    with contextlib.suppress(StopIteration):
        for _ in range(_AHEAD * n_threads):
            running.add(submit())
    for future in running:
        yield numbers.pop(future), future.result()
        future.release()
        with contextlib.suppress(StopIteration):
            running.add(submit())


def _call(
    function: Callable[..., Chunk], chunk: tuple[Any, ...], shared: tuple[Any, ...]
) -> Chunk:
    with threadpool_limits(1):
        return function(*chunk, *shared)


def _call_numbered(
    k: int, function: Callable[..., Chunk], chunk: tuple[Any, ...], shared: tuple[Any, ...]
) -> tuple[int, Chunk]:
    return k, _call(function, chunk, shared)


def _json_of(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


class _Store:
    """Finished chunks on disk, one npz each, beside a manifest that says what they belong to."""

    def __init__(
        self,
        folder: Path,
        n_chunks: int,
        key: str | None,
        chunks: Sequence[Any],
        shared: tuple[Any, ...],
    ) -> None:
        self.folder = folder
        key = key or fingerprint(list(chunks), list(shared))
        wanted = {"format": 1, "key": key, "n_chunks": n_chunks}
        manifest = folder / MANIFEST
        if manifest.exists():
            if _json_of(manifest) != wanted:
                raise ResumeError(
                    f"{folder} holds partial results of other data or settings",
                    "A folder made by a run with the same data and settings was needed",
                    f"Delete {folder} to start afresh, or repeat the earlier call",
                )
        else:
            with atomic_path(manifest) as path:
                path.write_text(json.dumps(wanted))

    def _path(self, k: int) -> Path:
        return self.folder / f"chunk-{k:06d}.npz"

    def finished(self) -> dict[int, dict[str, NDArray[Any]]]:
        results = {}
        for path in sorted(self.folder.glob("chunk-*.npz")):
            # A file that was damaged after it was written costs its chunk, not the run.
            with (
                contextlib.suppress(OSError, EOFError, ValueError, zipfile.BadZipFile),
                path.open("rb") as handle,
                np.load(handle, allow_pickle=False) as file,
            ):
                results[int(path.stem.split("-")[1])] = {n: file[n] for n in file.files}
        return results

    def forget_if_empty(self) -> None:
        """Leave no folder behind that holds nothing but its manifest."""
        if not any(self.folder.glob("chunk-*.npz")):
            shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, k: int, result: Chunk) -> None:
        with atomic_path(self._path(k)) as path, path.open("wb") as handle:
            np.savez(handle, **dict[str, Any](result))


class progress_bar:
    """A progress bar where there is a terminal, a callback where one was given."""

    def __init__(
        self, total: int, done: int, progress: bool | Callable[[int, int], None], label: str
    ) -> None:
        self.total, self.done, self.progress, self.label = total, done, progress, label
        self.bar: Any = None

    def __enter__(self) -> Callable[[], None]:
        if self.progress is True and sys.stderr.isatty():
            from tqdm.auto import tqdm

            self.bar = tqdm(total=self.total, initial=self.done, desc=self.label, unit="chunk")
        return self._tick

    def _tick(self) -> None:
        self.done += 1
        if self.bar is not None:
            self.bar.update()
        elif callable(self.progress):
            self.progress(self.done, self.total)

    def __exit__(self, *exc: object) -> None:
        if self.bar is not None:
            self.bar.close()
