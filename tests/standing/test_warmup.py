"""What a worker compiles before it joins its group."""

import subprocess
import sys

import pytest

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


@pytest.mark.slow
def test_a_pack_that_comes_later_finds_its_kernels():
    """A switch of packs compiles nothing: a worker that did would miss its heartbeats."""
    done = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    count, missing = done.stdout.split(maxsplit=1)
    assert int(count) > 20
    assert missing.strip() == "[]"
