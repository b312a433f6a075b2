"""A million addresses and a million people within 2 GiB, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import CHECKOUT

MOST_BYTES = 2 << 30

FIRST = """
def most_memory():
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    with open("/proc/self/status") as lines:
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""

ADDRESSES = """
import json, sys, time
from pathlib import Path
from dcgan_assets.sources.web.search.found import FoundPicture, Subject
from dcgan_assets.sources.web.search.journal import Journal
from dcgan_assets.sources.web.removals import RemovalList
from dcgan_assets.sources.web.search.search import Searching, gather_addresses
from dcgan_assets.sources.web.search.client import Manners
folder, people, each = Path(sys.argv[1]), 10_000, 100
searching = Searching(("commons",), Manners("a@b.org"))
subjects = [Subject(f"http://www.wikidata.org/entity/Q{n}", f"Person {n}") for n in range(people)]
with (folder / "searches.jsonl").open("w") as stream:
    identity = json.loads(json.dumps(searching.identity()))
    stream.write(json.dumps({"work": identity}, sort_keys=True) + "\\n")
    for number, subject in enumerate(subjects):
        pictures = [
            list(FoundPicture(
                "commons:depicts", f"https://commons.wikimedia.org/wiki/File:{k}_of_{number}.jpg",
                f"https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/{k}_of_{number}.jpg",
                f"https://upload.wikimedia.org/wikipedia/commons/a/ab/{k}_of_{number}.jpg",
                "CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0", "Somebody",
                "Somebody, own work", "personality", f"{number * each + k:040x}", 4000, 3000,
                "image/jpeg"))
            for k in range(each)]
        piece = {"content": {"pictures": pictures, "problem": None},
                 "key": f"commons {subject.uri} {subject.name}"}
        stream.write(json.dumps(piece, sort_keys=True) + "\\n")
base = most_memory()
start = time.perf_counter()
report = gather_addresses(subjects, searching, RemovalList(), folder, folder)
seconds = time.perf_counter() - start
assert report.kept == people * each, report
"""

PEOPLE = """
import sys, time
from pathlib import Path
from dcgan_assets.sources.web.search.people import gather_people
from dcgan_assets.sources.web.removals import RemovalList
folder = Path(sys.argv[1])
with (folder / "names.csv").open("w") as stream:
    stream.write("uri,name,birth_date,sitelinks,wikidata\\n")
    for n in range(1_000_000):
        uri = f"http://www.wikidata.org/entity/Q{n}"
        stream.write(f"{uri},Person Number {n},19{n % 90 + 10}-01-01,{n * 7919 % 300},{uri}\\n")
base = most_memory()
start = time.perf_counter()
gone = RemovalList({("person", "http://www.wikidata.org/entity/Q5"): 2})
report = gather_people(folder / "names.csv", 10_000, folder, folder, gone)
seconds = time.perf_counter() - start
assert report.kept == 10_000 and report.rejected == 990_000, report
"""

LAST = """
peak = most_memory()
import json; print(json.dumps({"base": base, "peak": peak, "seconds": seconds}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", [ADDRESSES, PEOPLE], ids=["addresses", "people"])
def test_a_million_rows_within_two_gibibytes(tmp_path: Path, script: str) -> None:
    command = [sys.executable, "-c", FIRST + script + LAST, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)
    assert found["peak"] < MOST_BYTES
