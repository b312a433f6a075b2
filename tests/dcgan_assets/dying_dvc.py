"""A DVC that is killed at work, when the first new file has come to where its files go.

The process looks itself, before whatever it does next to a file, and kills itself with SIGKILL:
another process that looks from outside may come too late.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

_Popen = subprocess.Popen
_DYING = """
import os, pathlib, runpy, signal, sys
goal = pathlib.Path(sys.argv.pop(1))
def files():
    return {path for path in goal.rglob("*") if path.is_file()}
before = files()
watched = {"open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.utime"}
def look(event, arguments):
    if event in watched and files() - before:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(look)
runpy.run_module("dvc", run_name="__main__", alter_sys=True)
"""


class DyingDvc:
    """Stands in for `subprocess.Popen`: of the calls of DVC one kind dies.

    Args:
        call: The word after `dvc`: commit, push.
        goal: The folder that new files come to.
    """

    def __init__(self, call: str, goal: Path) -> None:
        self._call, self._goal = call, goal
        self.victims: list[subprocess.Popen[str]] = []

    def __call__(self, words: list[str], **options: Any) -> subprocess.Popen[str]:
        if words[1:4] != ["-m", "dvc", self._call]:
            return _Popen(words, **options)
        dying = [words[0], "-c", _DYING, str(self._goal), *words[3:]]
        self.victims.append(_Popen(dying, **options))
        return self.victims[-1]
