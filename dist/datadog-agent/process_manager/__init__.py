"""Invoke tasks that build, test and install Neap: `process-manager.build` and its like, for `dda inv` and plain `invoke`.

They need Python 3.9, invoke and a Rust toolchain. In Neap's checkout they are there (`tasks.py`). For another project copy
this folder to its `tasks/`, add it to its namespace,

    from tasks import process_manager
    ns.add_collection(process_manager)

and say where Neap's checkout is: NEAP_SOURCE, or `process_manager: {source: DIR}` in its invoke.yaml.
"""

from .tasks import (
    build,
    build_cli,
    build_daemon,
    build_release,
    install,
    test,
    uninstall,
)

__all__ = [
    "build",
    "build_cli",
    "build_daemon",
    "build_release",
    "install",
    "test",
    "uninstall",
]
