"""List the data sets that nr.fetch knows, or show the card of one."""

from typing import Any

from neurornn.cli._said import Said, as_plain

HELP = "list known data sets"
_TOLD = ("title", "source", "licence", "doi", "cite", "species", "units", "note")


def add_arguments(parser: Any) -> None:
    """Add the name of a data set."""
    parser.add_argument("name", type=str | None, default=None, nargs="?", help="show one card")


def run(a: Any) -> Said:
    """List all, or show one."""
    import neurornn as nr

    if a.name is None:
        table = nr.io.list_datasets()
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        return Said(table.to_text(), as_plain(rows))
    card = nr.io.read_card(a.name)
    told = {k: getattr(card, k) for k in _TOLD if getattr(card, k)}
    text = "\n".join([card.name, *(f"{k}: {v}" for k, v in told.items())])
    return Said(text, as_plain({"name": card.name, **told}))
