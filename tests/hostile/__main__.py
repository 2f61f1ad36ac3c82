"""``python -m tests.hostile [--only TEXT] [--share 1.0] [--arrays | --configs]``: count, list."""

import argparse
import sys
from collections import Counter
from typing import Any

from tests.hostile import outcomes
from tests.hostile.outcomes import GOOD, Outcome
from tests.hostile.workers import run_all


def _told(title: str, found: dict[Any, Outcome], group: Any) -> int:
    names = [*GOOD, outcomes.FOREIGN, outcomes.QUIET, outcomes.REFUSED_VALID, outcomes.SLOW,
             outcomes.GREEDY]  # fmt: skip
    rows: dict[str, Counter[str]] = {}
    for key, outcome in found.items():
        rows.setdefault(group(key), Counter())[outcome.kind] += 1
    print(f"\n{title}: {len(found)} cases\n")
    print(f"{'door':34}" + "".join(f"{n:>21}" for n in names))
    for name, row in rows.items():
        print(f"{name:34}" + "".join(f"{row[n] or '-':>21}" for n in names))
    total = sum(rows.values(), Counter())
    print(f"{'all':34}" + "".join(f"{total[n] or '-':>21}" for n in names))
    bad = {k: o for k, o in found.items() if o.kind not in GOOD}
    print(f"\n{len(bad)} of {len(found)} fail")
    for key, outcome in bad.items():
        print(f"  {key.key}  ->  {outcome.kind}: {outcome.text}")
    return len(bad)


def main() -> int:
    """Run all cases, or those whose name holds a text."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("--only", default="", help="a text in the name of the case")
    parser.add_argument("--share", type=float, default=1.0, help="a seeded share of the cases")
    parser.add_argument("--arrays", action="store_true", help="only arrays and numbers")
    parser.add_argument("--configs", action="store_true", help="only YAML files")
    parser.add_argument("--workers", type=int, default=2)
    a = parser.parse_args()
    from tests.hostile import configs, doors, runs

    bad = 0
    for wanted, title, cases, run, group in (
        (not a.configs, "Arrays and numbers", doors.cases, runs.run_case, lambda c: c.door),
        (not a.arrays, "neurornn fit", configs.cases, runs.run_config, lambda c: c.part),
    ):
        if wanted:
            keys = runs.sampled([c for c in cases() if a.only in c.key], a.share)
            bad += _told(title, run_all(keys, run, a.workers), group)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
