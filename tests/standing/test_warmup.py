"""What a worker compiles before it joins its group."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# In a process of its own: here other tests have called every kernel.
LATER = """
import sys, yaml
from numba.core.dispatcher import Dispatcher
from agents.offline.warmup import warm_up
from agents.standing.model import StandingConf
from policies import load_pack
from policies.language.loader import parse_pack

def compiled():
    kernels = {id(v): v for name, m in sys.modules.items() if name.split(".")[0] in ("streams", "schemas")
               for v in vars(m).values() if isinstance(v, Dispatcher)}
    return {(k.py_func.__module__, k.py_func.__qualname__, str(s)) for k in kernels.values() for s in k.signatures}

def conf(pack):
    return StandingConf("CNY", "Asia/Shanghai", pack, b"a reference key for tests, 32 bytes")

full = load_pack("rolling-quarter-aum")
body = yaml.safe_load(full.body)
for scheme in body["classes"].values():
    for section in ("alerts", "cases"):
        scheme.pop(section, None)
warm_up(conf(parse_pack(yaml.safe_dump(body, allow_unicode=True))))
before = compiled()
warm_up(conf(full))
print(len(before), sorted(compiled() - before))
"""

AGAIN = """
from numba.core.event import install_recorder
from tests import kernels

with install_recorder("numba:compile") as seen:
    kernels.prepare()
print(sorted({str(event.data["dispatcher"].py_func.__qualname__) for _, event in seen.buffer}))
"""


@pytest.mark.slow
def test_what_is_in_the_cache_is_not_compiled_again():
    """A process that finds all kernels there compiles none: with hundreds of processes in the tests it would be hours."""
    found = ""
    for _ in range(2):  # the first may be that of a fresh checkout
        done = subprocess.run([sys.executable, "-c", AGAIN], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if (found := done.stdout.strip()) == "[]":
            return
    pytest.fail(f"compiled again: {found}")


@pytest.mark.slow
def test_a_pack_that_comes_later_finds_its_kernels():
    """A switch of packs compiles nothing: a worker that did would miss its heartbeats."""
    done = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    count, missing = done.stdout.split(maxsplit=1)
    assert int(count) > 20
    assert missing.strip() == "[]"
