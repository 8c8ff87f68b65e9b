"""The tasks themselves."""

from __future__ import annotations

from pathlib import Path

from invoke import Context, Exit, task

from .cargo import cargo, output, profile
from .placing import CLI, DAEMON, installer, link, tell

SUITES = {
    "unit": ["--lib"],
    "e2e": ["--test", "agent"],
}


def built(ctx: Context, release: bool, links: list[str]) -> Path:
    """Builds `neap` with these names for it, says where they are, and gives their folder."""
    cargo(ctx, "build", "--locked", "--bin", "neap", *profile(release))
    folder = output(ctx, release)
    tell([folder / "neap", *(link(folder, name) for name in links)])
    return folder


@task(help={"release": "optimised, as it is shipped"})
def build(ctx: Context, release: bool = False) -> None:
    """Builds neap, dd-procmgrd and dd-procmgr, and says where they are."""
    built(ctx, release, [DAEMON, CLI])


@task
def build_release(ctx: Context) -> None:
    """Builds neap, dd-procmgrd and dd-procmgr, optimised."""
    built(ctx, True, [DAEMON, CLI])


@task(help={"release": "optimised, as it is shipped"})
def build_daemon(ctx: Context, release: bool = False) -> None:
    """Builds neap and dd-procmgrd, the daemon by its older name."""
    built(ctx, release, [DAEMON])


@task(help={"release": "optimised, as it is shipped"})
def build_cli(ctx: Context, release: bool = False) -> None:
    """Builds neap and dd-procmgr, the client by its older name."""
    built(ctx, release, [CLI])


@task(help={"suite": "unit, e2e (the Datadog Agent's stand-ins under the real daemon) or all", "release": "of the optimised build"})
def test(ctx: Context, suite: str = "all", release: bool = False) -> None:
    """Runs tests: unit, e2e or all."""
    if suite != "all" and suite not in SUITES:
        raise Exit(f"there is no suite `{suite}`: it is one of {', '.join(SUITES)} and all")
    for name, arguments in SUITES.items():
        if suite in (name, "all"):
            cargo(ctx, "test", "--locked", *arguments, *profile(release))


@task(
    help={
        "prefix": "where to, such as /opt/datadog-agent/embedded",
        "destdir": "a folder that stands for / while a package is made",
        "systemd": "where the units go, if not below the prefix: /etc/systemd/system, or none",
        "debug": "the build that is not optimised",
        "library": "the C interface as well: libneap, its header, its pkg-config file",
    }
)
def install(
    ctx: Context,
    prefix: str = "/usr/local",
    destdir: str = "",
    systemd: str = "",
    debug: bool = False,
    library: bool = False,
) -> None:
    """Builds and installs below a prefix; again is fine, and replaces what is there."""
    if library:
        cargo(ctx, "build", "--locked", "--package", "neap-capi", *profile(not debug))
    folder = built(ctx, not debug, [])
    units = ["--systemd", systemd] if systemd else []
    installer(ctx, ["--prefix", str(Path(prefix).absolute()), *root(destdir), *units, "--from", str(folder)])


@task(help={"prefix": "where it was installed", "destdir": "what stood for / then"})
def uninstall(ctx: Context, prefix: str = "/usr/local", destdir: str = "") -> None:
    """Takes away what install placed, and nothing else."""
    place = Path(prefix).absolute()
    at = Path(f"{destdir and Path(destdir).absolute()}{place}")
    if (at / "share" / "neap" / "manifest").is_file():
        installer(ctx, ["--uninstall", "--prefix", str(place), *root(destdir)])
    else:
        print(f"nothing is installed below {at}")


def root(destdir: str) -> list[str]:
    """The installer's words for what stands for /."""
    return ["--destdir", str(Path(destdir).absolute())] if destdir else []
