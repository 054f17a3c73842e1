"""Run a command and say what it took: `python -I -S launch.py RESULT.json COMMAND...` (standard library only).

A process that is started inherits the peak memory of the one that starts it (Linux keeps the larger of the two when a
program replaces another), so the starter must be small: this file, not the benchmark, which holds meshes. The numbers
are those that the system keeps of the command and of every descendant that it waited for.
"""

import json
import os
import subprocess
import sys
import time


def main() -> int:
    """Exit with the command's own code, or 128 + the signal that ended it."""
    result, *command = sys.argv[1:]
    started = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, used = os.wait4(child.pid, 0)
    wall_s = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    with open(result, "w", encoding="utf-8") as handle:
        json.dump({"wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime, "peak_bytes": used.ru_maxrss * unit},
                  handle)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
