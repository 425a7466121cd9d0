"""Run as a module: compiles the worker's kernels in a process of its own, while the servers start."""

from agents.offline.warmup import warm_up
from deploy.settings import Settings
from tidegauge.bootstrap import standing_conf

if __name__ == "__main__":
    warm_up(standing_conf(Settings(), keyless=True))
