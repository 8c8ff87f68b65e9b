"""Where Neap's checkout is, and what cargo makes of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

from invoke import Context, Exit


def source(ctx: Context) -> Path:
    """Neap's checkout: NEAP_SOURCE, or `process_manager.source` of the project's configuration, or what this file lies in."""
    configured = os.environ.get("NEAP_SOURCE") or ctx.config.get("process_manager", {}).get("source")
    if configured:
        folder = Path(configured).expanduser().resolve()
        if is_neap(folder):
            return folder
        raise Exit(f"{configured} (NEAP_SOURCE, or process_manager.source) is no checkout of Neap: no Cargo.toml of `neap` is in it")
    for folder in Path(__file__).resolve().parents:
        if is_neap(folder):
            return folder
    raise Exit("Neap's checkout is not around these tasks: set NEAP_SOURCE to it, or `process_manager: {source: DIR}` in invoke.yaml")


def is_neap(folder: Path) -> bool:
    """Whether this is the root of Neap's checkout."""
    manifest = folder / "Cargo.toml"
    return manifest.is_file() and re.search(r'^name = "neap"$', manifest.read_text(encoding="utf-8"), re.MULTILINE) is not None


def cargo(ctx: Context, *arguments: str, quiet: bool = False) -> str:
    """Runs cargo in the checkout. What it says goes to the terminal, or with `quiet` comes back; a failure ends the task."""
    # Where rustup puts it, for a shell that has not heard of that (sudo, a service).
    usual = os.path.join(os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo"), "bin")
    program = os.environ.get("CARGO") or shutil.which("cargo") or shutil.which("cargo", path=usual)
    if program is None:
        raise Exit("cargo is not on the PATH: install Rust 1.89 or newer (rustup, or your distribution's packages)")
    command = shlex.join([program, *arguments])
    terminal = sys.stdout.isatty() and not quiet
    with ctx.cd(shlex.quote(str(source(ctx)))):
        # `hide` is said either way, for a project's configuration may hide all that tasks run.
        done = ctx.run(
            command, hide=quiet, warn=True, echo=not quiet, pty=terminal, in_stream=None if terminal else False
        )
    if done is None or done.ok:
        return done.stdout if done else ""
    why = done.stderr.strip() if quiet else "what it says above is why"
    raise Exit(f"`cargo {shlex.join(arguments)}` failed: {why}")


def profile(release: bool) -> list[str]:
    """The profile as cargo's arguments."""
    return ["--release"] if release else []


def output(ctx: Context, release: bool) -> Path:
    """The folder that cargo puts programs into: CARGO_TARGET_DIR and cargo's own configuration are heeded."""
    told = json.loads(cargo(ctx, "metadata", "--no-deps", "--format-version", "1", quiet=True))
    triple = os.environ.get("CARGO_BUILD_TARGET", "")
    return Path(told["target_directory"], triple, "release" if release else "debug")
