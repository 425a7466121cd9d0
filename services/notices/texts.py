"""The words of notices, in English and Chinese.

A text names no customer and no amount: it may leave the bank's network by a messenger. Its placeholders are therefore
the C1 fields of an alert and the masked customer number, and nothing else; the manager reads the figures at his desk.
"""

from typing import Final

DEFAULT_LOCALE: Final = "zh-CN"

PLACES: Final = frozenset({"customer", "severity", "rule", "window", "share", "branch", "day", "alert", "close"})
"""What a text may contain."""

STATUSES: Final = ("raised", "deepened", "escalated")
"""States of an alert of which somebody is told."""

SUBJECTS: Final[dict[str, dict[str, dict[str, str]]]] = {
    "en": {
        "outflow": {
            "raised": "{severity}: large outflow, customer {customer}",
            "deepened": "{severity}: outflow grows, customer {customer}",
            "escalated": "{severity}: alert not acknowledged in time, customer {customer}",
        },
        "upgrade_near": {
            "raised": "{severity}: next tier within reach, customer {customer}",
            "deepened": "{severity}: upgrade in sight, customer {customer}",
            "escalated": "{severity}: alert not acknowledged in time, customer {customer}",
        },
        "downgrade_risk": {
            "raised": "{severity}: tier at risk, customer {customer}",
            "deepened": "{severity}: tier at risk, sooner or further, customer {customer}",
            "escalated": "{severity}: alert not acknowledged in time, customer {customer}",
        },
    },
    "zh-CN": {
        "outflow": {
            "raised": "【{severity}】客户 {customer} 大额资金流出",
            "deepened": "【{severity}】客户 {customer} 资金流出扩大",
            "escalated": "【{severity}】客户 {customer} 预警超时未确认",
        },
        "upgrade_near": {
            "raised": "【{severity}】客户 {customer} 接近上一等级",
            "deepened": "【{severity}】客户 {customer} 预计升级",
            "escalated": "【{severity}】客户 {customer} 预警超时未确认",
        },
        "downgrade_risk": {
            "raised": "【{severity}】客户 {customer} 有降级风险",
            "deepened": "【{severity}】客户 {customer} 降级风险加大或提前",
            "escalated": "【{severity}】客户 {customer} 预警超时未确认",
        },
    },
}
"""By language, kind of alert and state."""

BODIES: Final[dict[str, dict[str, str]]] = {
    "en": {
        "outflow": "{window}: {share} of the assets left the bank (rule {rule}, day {day}, branch {branch}). "
        "Please contact the customer; details are at your desk under alert {alert}.",
        "upgrade_near": "If today's balances stay, the customer reaches the next tier or is close to it at the close of "
        "{close} (rule {rule}, day {day}, branch {branch}). Details are at your desk under alert {alert}.",
        "downgrade_risk": "If today's balances stay, the customer loses his tier; the next close is that of {close} "
        "(rule {rule}, day {day}, branch {branch}). Please contact him; details are at your desk under alert {alert}.",
    },
    "zh-CN": {
        "outflow": "{window}资金净流出占资产的 {share}(规则 {rule},日期 {day},网点 {branch})。"
        "请尽快联系客户,详情请在工作台查看预警 {alert}。",
        "upgrade_near": "若余额保持不变,客户在 {close} 日终评定时将达到或接近上一等级"
        "(规则 {rule},日期 {day},网点 {branch})。详情请在工作台查看预警 {alert}。",
        "downgrade_risk": "若余额保持不变,客户将失去现有等级,下次评定为 {close} 日终"
        "(规则 {rule},日期 {day},网点 {branch})。请尽快联系客户,详情请在工作台查看预警 {alert}。",
    },
}
"""By language and kind of alert."""

LATE_SUBJECT: Final[dict[str, str]] = {"en": "late: ", "zh-CN": "(补发)"}
"""Before the subject of a notice that goes out days after its alert."""

LATE_BODIES: Final[dict[str, dict[str, str]]] = {
    "en": {
        "outflow": "{window}: {share} of the assets had left the bank (rule {rule}, day {day}, branch {branch}). This "
        "goes out days later: see at your desk under alert {alert} how things stand now.",
        "upgrade_near": "On {day} the customer would have reached the next tier, or come close to it, at the close of "
        "{close} (rule {rule}, branch {branch}). This goes out days later: see at your desk under alert {alert} how "
        "things stand now.",
        "downgrade_risk": "On {day} the customer would have lost his tier; the next close was that of {close} (rule "
        "{rule}, branch {branch}). This goes out days later: see at your desk under alert {alert} how things stand now.",
    },
    "zh-CN": {
        "outflow": "{window}资金净流出曾占资产的 {share}(规则 {rule},日期 {day},网点 {branch})。"
        "本通知为数日后补发,现状请在工作台查看预警 {alert}。",
        "upgrade_near": "按 {day} 的余额,客户在 {close} 日终评定时将达到或接近上一等级(规则 {rule},网点 {branch})。"
        "本通知为数日后补发,现状请在工作台查看预警 {alert}。",
        "downgrade_risk": "按 {day} 的余额,客户将失去当时的等级,当时的下次评定为 {close} 日终(规则 {rule},网点 {branch})。"
        "本通知为数日后补发,现状请在工作台查看预警 {alert}。",
    },
}
"""In the place of BODIES there."""

ALL_CLEAR: Final = "retracted"
"""The state of a case whose money has come back, or never left. Only an outflow has it."""

CLEAR_SUBJECTS: Final[dict[str, str]] = {
    "en": "all clear: outflow, customer {customer}",
    "zh-CN": "解除:客户 {customer} 资金流出预警",
}
CLEAR_BODIES: Final[dict[str, str]] = {
    "en": "What was told under alert {alert} is taken back: the money has come back, or it did not leave the bank "
    "(rule {rule}, day {day}, branch {branch}). Nothing is left to do.",
    "zh-CN": "预警 {alert} 现予撤回:资金已回流,或并未流出本行(规则 {rule},日期 {day},网点 {branch})。无需再处理。",
}
"""Subject and body of the all-clear."""

SEVERITY_NAMES: Final[dict[str, dict[str, str]]] = {
    "en": {"info": "Info", "low": "Low", "medium": "Medium", "high": "High", "critical": "Critical"},
    "zh-CN": {"info": "提示", "low": "低", "medium": "中", "high": "高", "critical": "紧急"},
}

WINDOWS: Final[dict[str, tuple[str, str]]] = {
    "en": ("In a single posting", "Within {days} days"),
    "zh-CN": ("单笔", "{days} 天内累计"),
}
"""Of a single posting, and of a window."""
