"""Parts of a feature that lies across the origin of a circular sequence."""

from collections.abc import Sequence

Part = tuple[int, int, int]


def read_across(parts: Sequence[Part], length: int) -> list[Part]:
    """Return parts in the order of reading, those behind the origin moved on by one turn.

    Parameters
    ----------
    parts : (start, end, strand) in the order of reading, bp, inside [0, `length`].
    length : bp, of the circular sequence.

    Returns
    -------
    list of (start, end, strand)
        As they came where they do not cross the origin. Two parts that meet at the origin are one.

    Notes
    -----
    Parts that go back once along their strand can cross the origin, or be written in an unusual
    order (trans-splicing). They are taken to cross it where that makes the feature shorter.

    Examples
    --------
    >>> read_across([(90, 100, 1), (0, 20, 1)], 100), read_across([(50, 60, 1), (20, 30, 1)], 100)
    ([(90, 120, 1)], [(50, 60, 1), (20, 30, 1)])
    """
    strands = {part[2] for part in parts}
    if len(strands) != 1:
        return list(parts)
    backward = strands == {-1}
    along = list(parts)[::-1] if backward else list(parts)
    drops = [k for k in range(1, len(along)) if along[k][0] < along[k - 1][0]]
    if len(drops) != 1:
        return list(parts)
    cut = drops[0]
    moved = along[:cut] + [(s + length, e + length, strand) for s, e, strand in along[cut:]]
    start, end = moved[0][0], max(part[1] for part in moved)
    plain = max(part[1] for part in parts) - min(part[0] for part in parts)
    if end - start > plain or end > start + length:
        return list(parts)
    moved = _met(moved, length)
    return moved[::-1] if backward else moved


def _met(along: list[Part], length: int) -> list[Part]:
    """Parts in the order of their places, two that meet at the origin made one."""
    for k in range(1, len(along)):
        if along[k - 1][1] == length == along[k][0]:
            return [*along[: k - 1], (along[k - 1][0], *along[k][1:]), *along[k + 1 :]]
    return along


def sorted_parts(parts: Sequence[Part], length: int | None) -> list[Part]:
    """Return parts of one strand in the order of reading, whatever order they were written in.

    Parameters
    ----------
    parts : (start, end, strand), bp.
    length : bp, of a circular sequence; None for a linear one.

    Notes
    -----
    Parts that touch both ends of a circular sequence, or go beyond its length, are read across
    the origin, and begin behind the widest gap between them. Parts of several strands stay in the
    order they came in.

    Examples
    --------
    >>> sorted_parts([(0, 20, -1), (90, 100, -1)], 100)
    [(90, 120, -1)]
    >>> sorted_parts([(1, 3, -1), (5, 9, -1)], None)
    [(5, 9, -1), (1, 3, -1)]
    """
    strands = {part[2] for part in parts}
    if len(strands) != 1:
        return list(parts)
    along = sorted(parts)
    beyond = length is not None and max(part[1] for part in along) > length
    if length and (beyond or (along[0][0] == 0 and max(p[1] for p in along) == length)):
        along = sorted((s % length, s % length + e - s, strand) for s, e, strand in parts)
        n = len(along)
        following = [along[(k + 1) % n][0] + (length if k + 1 == n else 0) for k in range(n)]
        gaps = [after - part[1] for after, part in zip(following, along, strict=True)]
        cut = (gaps.index(max(gaps)) + 1) % n
        turned = [(s + length, e + length, strand) for s, e, strand in along[:cut]]
        along = _met(along[cut:] + turned, length)
    return along[::-1] if strands == {-1} else along
