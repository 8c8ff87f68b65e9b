"""Where the programs go: links beside what was built, and `dist/install` for a prefix."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from invoke import Context, Exit

from .cargo import source

DAEMON = "dd-procmgrd"
CLI = "dd-procmgr"


def link(folder: Path, name: str) -> Path:
    """Makes `name` beside `neap`, a link to it: Neap answers by the name that it is called by."""
    path = folder / name
    if not path.is_symlink() or os.readlink(path) != "neap":
        # In the place of whatever is there, and never with nothing there.
        fresh = folder / f".{name}.{os.getpid()}"
        fresh.symlink_to("neap")
        fresh.replace(path)
    return path


def tell(paths: list[Path]) -> None:
    """Says where the programs are."""
    for path in paths:
        to = f" -> {os.readlink(path)}" if path.is_symlink() else ""
        print(f"{path.name:<11} {path}{to}")


def installer(ctx: Context, arguments: list[str]) -> None:
    """Runs `dist/install` of the checkout, which says what it does."""
    script = source(ctx) / "dist" / "install"
    if not script.is_file():
        raise Exit(f"{script} is not there: is this a whole checkout of Neap?")
    sys.stdout.flush()
    done = ctx.run(shlex.join([str(script), *arguments]), warn=True, hide=False, in_stream=False)
    if done is not None and not done.ok:
        raise Exit("it was not done; what the installer says above is why. For a folder of root's use sudo, or give --prefix", code=1)
