"""The YAML file of `neurornn fit`: read, checked key by key, before anything else is."""

from pathlib import Path
from typing import Any

#: A file nested deeper is none of a person.
_DEEPEST = 50
#: What a missing key may look like.
_EXAMPLES = {"n_hidden": "16", "context": "0.5"}


def read_config(path: Path) -> dict[str, Any]:
    """Return what the YAML file of `neurornn fit` says, its keys checked; no key stands twice."""
    import re

    import yaml

    from neurornn._core.errors import FileFormatError, FileMissingError, NameUnknownError, nearest

    class Loader(yaml.SafeLoader):
        """Refuses keys that stand twice, of which YAML silently takes the last, and deep nests."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            """Count how deep it goes."""
            self.depth += 1
            if self.depth > _DEEPEST:
                raise yaml.composer.ComposerError(
                    None, None, f"nested more than {_DEEPEST} deep", self.peek_event().start_mark
                )
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def compose_mapping_node(self, anchor: Any) -> Any:
            """Look at the keys as they stand in the file."""
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise yaml.composer.ComposerError(
                        None, None, f"the key {key.value!r} stands twice", key.start_mark
                    )
                seen.add(str(key.value))
            return node

    # In YAML 1.1, 1e-3 without a point is text; here it is the number that it looks like.
    number = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    if not path.is_file():
        raise FileMissingError(
            f"There is no file {path}", "A YAML file was needed", "Check the path"
        )
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise FileFormatError(
            f"{path.name} is not YAML: {error}", "A YAML file was needed", "Correct that line"
        ) from None
    needed = ("data", "windows", "model")
    known = (*needed, "fit", "out")
    found = list(config) if isinstance(config, dict) else []
    for key in found:
        if key not in known:
            raise NameUnknownError(
                f"{path.name} has the key {key!r}",
                f"The keys {', '.join(known)} were needed, and no other",
                nearest(str(key), known),
            )
    if any(k not in found for k in needed):
        raise FileFormatError(
            f"{path.name} has the keys {', '.join(map(str, found)) or 'none'}",
            f"The keys {', '.join(needed)}, and optionally fit and out, were needed",
            "See the example in the command-line page of the documentation",
        )
    for key in (*needed, "fit"):
        part = config.get(key)
        if part is not None and not isinstance(part, dict):
            raise FileFormatError(
                f"{key} in {path.name} is {part!r:.60}",
                "Keys with their values, one a line, were needed",
                f"Write them under {key}:, each with two spaces before it",
            )
    return dict(config)


def places_of_fit(config: Path, file: Path, out: Any, fit: dict[str, Any]) -> Path | None:
    """Return where the result of `neurornn fit` goes; raise before the fit where it cannot."""
    from neurornn._core.errors import FileFormatError
    from neurornn._core.targets import check_apart
    from neurornn.io.replaceable import check_save_target

    for name, given in (("out", out), ("fit.checkpoint", fit.get("checkpoint"))):
        if given is not None and not (isinstance(given, str) and given.strip()):
            raise FileFormatError(
                f"{name} in {config.name} is {given!r}",
                "The path of a folder, relative to the YAML file, was needed",
                f"Give it a name, for example {name.rpartition('.')[2]}: fitted",
            )
    places = []
    if fit.get("checkpoint") is not None:
        fit["checkpoint"] = config.parent / fit["checkpoint"]
        places.append(fit["checkpoint"])
    if out is None:
        return None
    place = config.parent / out
    if place.suffix == ".nc":
        raise FileFormatError(
            f"out in {config.name} is {out!r}, a single file",
            "A folder was needed: weights are kept in a file of their own",
            f"Pass out: {place.stem}",
        )
    check_save_target(place, "FitResult", inputs=[config, file])
    check_apart([*places, place])
    return place


def check_keys(call: Any, given: Any, part: str, taken: tuple[str, ...]) -> None:
    """Raise where a key of the file is not an argument of the call it is meant for."""
    import inspect

    from neurornn._core.errors import NameUnknownError, nearest

    known = [k for k in inspect.signature(call).parameters if k not in taken]
    for key in given:
        if key not in known and key not in getattr(call, "old_names", ()):
            raise NameUnknownError(
                f"{part} has the key {key!r}",
                f"An argument of {call.__qualname__} was needed",
                nearest(str(key), known),
            )


def check_complete(call: Any, given: Any, part: str) -> None:
    """Raise where the file lacks a key that the call cannot do without."""
    import inspect

    from neurornn._core.errors import FileFormatError

    arguments = inspect.signature(call).parameters.values()
    lacking = [a.name for a in arguments if a.default is a.empty and a.name not in given]
    if lacking:
        raise FileFormatError(
            f"{part} has no key {' and no key '.join(lacking)}",
            f"A value was needed: {call.__qualname__} has no default for it",
            f"Add for example {lacking[0]}: {_EXAMPLES.get(lacking[0], '1')} under {part}",
        )
