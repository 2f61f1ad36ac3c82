"""What stands in for objects of pynapple in tests: the attributes by which they are known."""

import numpy as np


class IntervalSet:
    """Closed ranges in s."""

    def __init__(self, start, end, metadata=None):
        self.start, self.end = np.atleast_1d(start).astype(float), np.atleast_1d(end).astype(float)
        self.metadata = metadata


class Ts:
    """Times in s; without a support, from the first to the last, as in pynapple."""

    def __init__(self, t, time_support=None):
        self.t = np.asarray(t, dtype=float)
        if time_support is None:
            time_support = IntervalSet(self.t[:1], self.t[-1:])
        self.time_support = time_support

    def __len__(self):
        return len(self.t)


class Tsd(Ts):
    """Values over time; of two axes a TsdFrame, of three a TsdTensor."""

    def __init__(self, t, d, time_support=None, columns=None, metadata=None):
        super().__init__(t, time_support)
        self.values = np.asarray(d)
        self.metadata = metadata
        if self.values.ndim == 2:
            self.columns = np.arange(self.values.shape[1]) if columns is None else columns


class TsGroup(dict):
    """Members under whole numbers, with one support."""

    def __init__(self, members, time_support, metadata=None):
        super().__init__(members)
        self.time_support, self.metadata = time_support, metadata


def count(group, width, start, n_bins):
    """Count as pynapple does, bins [a, b) at their centres, in whole ns, where nothing rounds."""
    ns = round(width * 1e9)
    first = round(start * 1e9)
    columns = []
    for member in group.values():
        at = (np.round(member.t * 1e9).astype(np.int64) - first) // ns
        columns.append(np.bincount(at[(at >= 0) & (at < n_bins)], minlength=n_bins))
    ends = IntervalSet(start, start + n_bins * width)
    centres = start + width * (np.arange(n_bins) + 0.5)
    return Tsd(centres, np.stack(columns, axis=1), ends, columns=np.array(list(group)))
