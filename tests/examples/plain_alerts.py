"""A pack without cases: rolling-quarter-aum with outflow alerts that stand each by itself, as banks may still write them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import yaml

from agents.standing.model import StandingConf
from policies import load_pack
from policies.language.loader import parse_pack

if TYPE_CHECKING:
    from policies.model.pack import Pack

PLAIN_RULES = """
- id: outflow-single
  name: {zh: 单笔大额流出, en: Single large outflow}
  window_days: 0         # each posting alone
  severity: high
  cool_down_days: 1
  absolute: {gold: "100000.00", platinum: "200000.00", diamond: "500000.00", private: "1000000.00"}

- id: outflow-1d
  name: {zh: 当日累计流出, en: Outflow within a day}
  window_days: 1
  severity: high
  cool_down_days: 1
  absolute: {gold: "150000.00", platinum: "300000.00", diamond: "800000.00", private: "2000000.00"}
  share:
    basis_points: {gold: 5000, platinum: 3000, diamond: 3000, private: 3000}
    floor: "50000.00"

- id: outflow-7d
  name: {zh: 七日累计流出, en: Outflow within seven days}
  window_days: 7
  severity: medium
  cool_down_days: 7
  absolute: {gold: "200000.00", platinum: "400000.00", diamond: "1000000.00", private: "3000000.00"}
  share:
    basis_points: {gold: 6000, platinum: 4000, diamond: 4000, private: 4000}
    floor: "50000.00"

- id: outflow-30d
  name: {zh: 三十日累计流出, en: Outflow within thirty days}
  window_days: 30
  severity: medium
  cool_down_days: 30
  absolute: {gold: "300000.00", platinum: "500000.00", diamond: "1500000.00", private: "5000000.00"}
  share:
    basis_points: {gold: 7000, platinum: 5000, diamond: 5000, private: 5000}
    floor: "50000.00"

- id: drip
  name: {zh: 蚂蚁搬家式流出, en: Many small outflows}
  window_days: 30
  severity: medium
  cool_down_days: 30
  drip: {count: 8, each_at_most: "50000.00"}
  absolute: {gold: "80000.00", platinum: "150000.00", diamond: "200000.00", private: "300000.00"}
"""


def without_cases(body: str) -> str:
    """The text of a pack with these alerts in place of its cases."""
    given = yaml.safe_load(body)
    personal = given["classes"]["personal"]
    personal.pop("cases", None)
    personal["alerts"] = yaml.safe_load(PLAIN_RULES)
    return yaml.safe_dump(given, allow_unicode=True, sort_keys=False)


@cache
def plain_pack() -> Pack:
    """See the module."""
    return parse_pack(without_cases(load_pack("rolling-quarter-aum").body))


@cache
def plain_conf() -> StandingConf:
    """CNY, Shanghai, the plain pack."""
    return StandingConf("CNY", "Asia/Shanghai", plain_pack(), b"a key of the tests")
