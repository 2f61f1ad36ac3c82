"""Say what a file holds, or what it would take to open it."""

from pathlib import Path
from typing import Any

from neurornn.cli._door import add_opening, in_words_of_the_door, opened
from neurornn.cli._said import Said, as_plain

HELP = "say what a file holds"
add_arguments = add_opening


def run(a: Any) -> Said:
    """Describe a recording; where a choice or a number is missing, say which."""
    import neurornn as nr
    from neurornn._core.errors import NameUnknownError, UnitError

    name = Path(a.file).name
    try:
        recording = opened(a)
    except (NameUnknownError, UnitError) as error:
        # The file is well; something must be said before it can be opened.
        text = in_words_of_the_door(str(error), a)
        format_name = nr.io.detect_format(a.file)
        return Said(
            f"{name}: {format_name}, not yet opened\n\n{text}",
            {"file": name, "format": format_name, "opened": False, "needed": text},
        )
    table = nr.data.describe(recording, name)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    said = {"file": name, "opened": True, "head": list(table.head), "holds": rows}
    return Said(table.to_text(), as_plain(said))
