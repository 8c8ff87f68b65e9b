"""Tasks for invoke, from the project's root: `invoke process-manager.build`; `invoke --list` has all of them.

They are those of dist/datadog-agent/process_manager, which may be copied to another project; docs/datadog-agent.md says how.
"""

import sys
from pathlib import Path

from invoke import Collection

sys.path.insert(0, str(Path(__file__).resolve().parent / "dist" / "datadog-agent"))
import process_manager  # noqa: E402, what it is found by stands above

namespace = Collection(process_manager)
