"""What every process of Dagster pays before it works: loading our code location after Dagster.

    python -m benchmarks.loading [--runs N] [--json FILE]

In the workspace of the working directory; each run is a fresh process. Processor time is the one
to compare: the wall clock says how busy the machine was, too.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.harness import options, report

_LOADER = """
import json, time
def now():
    return time.process_time(), time.perf_counter()
start = now()
import dagster
between = now()
import dcgan_assets.definitions
end = now()
print(json.dumps([b - a for pair in ((start, between), (between, end)) for a, b in zip(*pair)]))
"""


def _load() -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", _LOADER], capture_output=True, text=True, check=True
    )
    seconds: list[float] = json.loads(done.stdout)
    return seconds


def main() -> None:
    arguments = options(__doc__ or "", runs=5).parse_args()
    _load()  # bytecode and outlines are there afterwards, as in every process but the first
    runs = [_load() for _ in range(arguments.runs)]
    names = ("dagster, processor s", "dagster, s", "our definitions, processor s", "ours, s")
    figures = {
        name: list(values) for name, values in zip(names, zip(*runs, strict=True), strict=True)
    }
    report({}, figures, arguments.json)


if __name__ == "__main__":
    main()
