"""The words of notices, in English and Chinese.

A text names no customer and no amount: it may leave the bank's network by a messenger. Its placeholders are therefore
the C1 fields of an alert and the masked customer number, and nothing else; the manager reads the figures at his desk.
"""

from typing import Final

DEFAULT_LOCALE: Final = "zh-CN"

PLACES: Final = frozenset({"customer", "severity", "rule", "window", "share", "branch", "day", "alert"})
"""What a text may contain."""

STATUSES: Final = ("raised", "deepened", "escalated")
"""States of an alert of which somebody is told."""

SUBJECTS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "raised": "{severity}: large outflow, customer {customer}",
        "deepened": "{severity}: outflow grows, customer {customer}",
        "escalated": "{severity}: alert not acknowledged in time, customer {customer}",
    },
    "zh-CN": {
        "raised": "【{severity}】客户 {customer} 大额资金流出",
        "deepened": "【{severity}】客户 {customer} 资金流出扩大",
        "escalated": "【{severity}】客户 {customer} 预警超时未确认",
    },
}

BODIES: Final[dict[str, str]] = {
    "en": "{window}: {share} of the assets left the bank (rule {rule}, day {day}, branch {branch}). "
    "Please contact the customer; details are at your desk under alert {alert}.",
    "zh-CN": "{window}资金净流出占资产的 {share}(规则 {rule},日期 {day},网点 {branch})。"
    "请尽快联系客户,详情请在工作台查看预警 {alert}。",
}

SEVERITIES: Final[dict[str, dict[str, str]]] = {
    "en": {"low": "Low", "medium": "Medium", "high": "High", "critical": "Critical"},
    "zh-CN": {"low": "低", "medium": "中", "high": "高", "critical": "紧急"},
}

WINDOWS: Final[dict[str, tuple[str, str]]] = {
    "en": ("In a single posting", "Within {days} days"),
    "zh-CN": ("单笔", "{days} 天内累计"),
}
"""Of a single posting, and of a window."""
