"""The command line: parse, call, print. Every file here without a _ is a command of its name."""

import importlib
import json
import os
import pkgutil
import sys
import warnings
from types import ModuleType
from typing import Any

from neurornn.cli._door import in_words_of_the_door
from neurornn.cli._said import Said


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status.

    Parameters
    ----------
    argv : arguments; by default those of the process.
    """
    found = commands()
    parser = _parser(found, sys.argv[1:] if argv is None else argv)
    settings = parser.parse_args(argv)
    name = settings.command
    if name is None:
        parser.print_help()
        return 2
    from neurornn._core.errors import ThreePartError

    os.environ.setdefault("MPLBACKEND", "Agg")
    warnings.filterwarnings("default", module="neurornn")
    own = settings[name]
    try:
        said = found[name].run(own)
    except ThreePartError as error:
        print(f"neurornn {name}: {in_words_of_the_door(str(error), own)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        hint = getattr(found[name], "stopped", lambda _: "")(own)
        print(f"Stopped.{hint}", file=sys.stderr)
        return 130
    try:
        print(json.dumps(said.data, indent=1) if own.json else said.text, flush=True)
    except BrokenPipeError:
        # The reader (head, say) has seen enough; keep the interpreter from trying again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def commands() -> dict[str, ModuleType]:
    """Return the commands: name -> module with ``HELP``, ``add_arguments`` and ``run``.

    ``run`` takes the parsed arguments and returns what is to be said. Modules load what they
    need when they run, so that ``neurornn --help`` is quick.
    """
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {n.replace("_", "-"): importlib.import_module(f"{__name__}.{n}") for n in names}


def _parser(found: dict[str, ModuleType], argv: list[str]) -> Any:
    """Parser of all commands; only one whose name was typed gets its many options."""
    from jsonargparse import ArgumentParser

    from neurornn import __version__

    parser = ArgumentParser(
        prog="neurornn",
        description="Time constants in seconds from recordings, with error bars.",
        version=__version__,
    )
    subcommands = parser.add_subcommands(required=False, dest="command")
    for name, module in found.items():
        own = ArgumentParser(description=module.__doc__)
        if name in argv:
            module.add_arguments(own)
            own.add_argument("--json", action="store_true", help="print JSON instead of text")
        subcommands.add_subcommand(name, own, help=module.HELP)
    return parser


__all__ = ["Said", "commands", "main"]
