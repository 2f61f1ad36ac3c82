"""The same function over many cells, sessions or seeds: in processes or on a Dask cluster.

Work is cut into chunks. A finished chunk is written atomically, so that Ctrl-C, a power cut or a
lost worker costs one chunk, and a second run continues where the first one stopped.
"""

import contextlib
import functools
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController, threadpool_limits

from neurornn._core.errors import DataError, ResumeError
from neurornn._core.files import atomic_path, clear_scratch, fingerprint, replace_any
from neurornn._core.report import versions
from neurornn._core.targets import check_own_folder

Chunk = Mapping[str, NDArray[Any]]
MANIFEST = "manifest.json"
_CHUNK = re.compile(r"chunk-\d{6,}\.npz")
#: Of the folder of finished chunks; grows when what is in it changes.
_FORMAT = 2
#: Name of the seal among the arrays of a chunk.
_SEAL = "__seal__"
#: What every manifest says.
_KEYS = frozenset({"format", "key", "n_chunks"})
#: Chunks per thread of a cluster that are handed out before the first one is back.
_AHEAD = 3


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> contextlib.AbstractContextManager[Any]:
    """Limit linear algebra to one thread, for loops over small matrices.

    The libraries are looked for once: that takes as long as a small fit.
    """
    found: contextlib.AbstractContextManager[Any] = _controller().limit(limits=1)
    return found


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
    checkpoint: str | os.PathLike[str] | None = None,
    key: str | None = None,
    keep: Callable[[Chunk], bool] | None = None,
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
    checkpoint : folder of its own in which finished chunks are kept until the caller removes them
        with `forget_partial`.
    key : hash of data and settings; by default one is made from `chunks` and `shared`. A folder
        that belongs to another key or another version of the package is refused.
    keep : whether a result is worth keeping in `checkpoint`; one that is not is computed again by
        the next call.

    Returns
    -------
    list of dict of arrays, one per chunk

    Raises
    ------
    DataError
        ``n_jobs`` is 0.
    ResumeError
        The folder holds results of other data, other settings or another version.
    FileWriteError
        The folder holds anything else, or cannot be written.
    """
    if n_jobs == 0:
        raise DataError(
            "n_jobs is 0",
            "A number of processes was needed, or -1 for one per core",
            "Pass n_jobs=1 to stay in this process",
        )
    store = None if checkpoint is None else _Store(checkpoint, len(chunks), key, chunks, shared)
    results: dict[int, dict[str, NDArray[Any]]] = {}
    if store is not None:
        results = store.finished()
    todo = [k for k in range(len(chunks)) if k not in results]
    work = ((k, chunks[k]) for k in todo)
    try:
        with progress_bar(len(chunks), len(results), progress, label) as tick:
            for k, result in _execute(function, work, len(todo), shared, n_jobs, client):
                results[k] = dict(result)
                if store is not None and (keep is None or keep(results[k])):
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

        # Processes of one function each. Those that did something light before would pass for
        # leaking once another loads torch: they are stopped with a warning, and where warnings
        # are errors nobody is left to hand on the results.
        parallel = Parallel(
            n_jobs=n_jobs, return_as="generator_unordered", initializer=_begin,
            initargs=(function.__module__, function.__qualname__),
        )  # fmt: skip
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


def _begin(module: str, name: str) -> None:
    """Say what a process is for, so that it is for that alone."""


def _call_numbered(
    k: int, function: Callable[..., Chunk], chunk: tuple[Any, ...], shared: tuple[Any, ...]
) -> tuple[int, Chunk]:
    return k, _call(function, chunk, shared)


def forget_partial(folder: str | os.PathLike[str]) -> None:
    """Remove the finished chunks of a job from their folder, and nothing else.

    Parameters
    ----------
    folder : as it was passed as `checkpoint`; it goes too where the job had made it, once it is
        empty.
    """
    place = Path(folder).expanduser()
    manifest = _json_of(place / MANIFEST)
    if not isinstance(manifest, dict) or not set(manifest) >= _KEYS:
        return
    # The manifest last: without it what is left would be refused.
    for name in sorted(os.listdir(place), key=lambda name: name == MANIFEST):
        if _is_own(name):
            clear_scratch(place / name)
            (place / name).unlink(missing_ok=True)
    if manifest.get("made_folder"):
        with contextlib.suppress(OSError):
            place.rmdir()


def _is_own(name: str) -> bool:
    return name == MANIFEST or _CHUNK.fullmatch(name) is not None


class _Store:
    """Finished chunks on disk, one npz each, beside a manifest that says what they belong to."""

    def __init__(
        self,
        checkpoint: str | os.PathLike[str],
        n_chunks: int,
        key: str | None,
        chunks: Sequence[Any],
        shared: tuple[Any, ...],
    ) -> None:
        check_own_folder(checkpoint, _is_own)
        self.folder = folder = Path(checkpoint).expanduser()
        self.key = key or fingerprint(list(chunks), list(shared))
        self.wanted = {
            "format": _FORMAT,
            "key": self.key,
            "n_chunks": n_chunks,
            "version": versions()["neurornn"],
        }
        self.manifest = folder / MANIFEST
        found = _json_of(self.manifest)
        if found is None and (self.manifest.exists() or any(folder.glob("chunk-*.npz"))):
            raise ResumeError(
                f"{folder} holds partial results without a readable {MANIFEST}, so that nothing "
                "says what they belong to",
                "A folder made by a run with the same data and settings was needed",
                f"Move {folder} away to start afresh, or pass another folder",
            )
        if found is not None and not _same_job(found, self.wanted):
            raise ResumeError(
                f"{folder} holds partial results of {_difference(found, self.wanted)}",
                "A folder made by a run with the same data and settings was needed",
                f"Delete {folder} to start afresh, or repeat the earlier call",
            )
        self.made_folder = not folder.exists()
        self.made_manifest = found is None
        self._write_manifest()

    def _write_manifest(self) -> None:
        if not self.manifest.exists():
            with atomic_path(self.manifest, ours=replace_any) as path:
                path.write_text(json.dumps({**self.wanted, "made_folder": self.made_folder}))

    def _path(self, k: int) -> Path:
        return self.folder / f"chunk-{k:06d}.npz"

    def _seal(self, k: int, result: Chunk) -> NDArray[Any]:
        arrays = {name: np.asarray(values) for name, values in result.items()}
        return np.array(fingerprint(self.key, k, arrays))

    def finished(self) -> dict[int, dict[str, NDArray[Any]]]:
        """Read the chunks that are whole and of this job; others cost their chunk, not the run."""
        results = {}
        for path in sorted(self.folder.glob("chunk-*.npz")):
            k = int(path.stem.split("-")[1])
            # Nothing is known of a damaged file, so it can raise nearly everything.
            with contextlib.suppress(Exception):
                with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
                    found = {n: file[n] for n in file.files}
                seal = found.pop(_SEAL)
                if str(seal) == str(self._seal(k, found)):
                    results[k] = found
        return results

    def forget_if_empty(self) -> None:
        """Leave no folder behind that we made and that holds nothing but its manifest."""
        if any(self.folder.glob("chunk-*.npz")) or not self.made_manifest:
            return
        self.manifest.unlink(missing_ok=True)
        if self.made_folder:
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    def write(self, k: int, result: Chunk) -> None:
        """Write a finished chunk with a seal over its numbers, its place and its job."""
        # Another run of the same job may have been stopped, and have taken it away.
        self._write_manifest()
        arrays: dict[str, Any] = {**result, _SEAL: self._seal(k, result)}
        with (
            atomic_path(self._path(k), ours=replace_any) as path,
            path.open("wb") as handle,
        ):
            np.savez(handle, **arrays)


def _json_of(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _same_job(found: Any, wanted: Mapping[str, Any]) -> bool:
    return isinstance(found, dict) and all(found.get(k) == v for k, v in wanted.items())


def _difference(found: Any, wanted: Mapping[str, Any]) -> str:
    """Say in which way a manifest belongs to another run."""
    if not isinstance(found, dict) or found.get("format") != wanted["format"]:
        return "another version of neurornn"
    if found.get("version") != wanted["version"]:
        return f"another version of neurornn, {found.get('version')}; this is {wanted['version']}"
    return "other data or settings"


def _looked_at() -> bool:
    """Whether somebody sees a bar: at a terminal, or in a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return sys.stderr.isatty() or hasattr(shell, "kernel")


class progress_bar:
    """A progress bar in a terminal or a notebook, a callback where one was given."""

    def __init__(
        self, total: int, done: int, progress: bool | Callable[[int, int], None], label: str
    ) -> None:
        self.total, self.done, self.progress, self.label = total, done, progress, label
        self.bar: Any = None

    def __enter__(self) -> Callable[[], None]:
        if self.progress is True and _looked_at():
            with warnings.catch_warnings():
                # Without ipywidgets a notebook shows the bar as text.
                warnings.filterwarnings("ignore", message="IProgress not found")
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
