"""The words of notices, in English and Chinese.

A text names no customer and no amount: it may leave the bank's network by a messenger. Its placeholders are therefore
the C1 fields of an alert and the masked customer number, and nothing else; the manager reads the figures at his desk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DEFAULT_LOCALE: Final = "zh-CN"

PLACES: Final = frozenset({"customer", "severity", "rule", "window", "share", "branch", "day", "alert", "close", "due"})
"""What a text may contain."""

ARRIVAL_PLACES: Final = frozenset({"customer", "number", "queue_class", "branch"})
"""What a text of an arrival may contain."""

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
        "card_expiry": {
            "raised": "{severity}: card ends soon, customer {customer}",
            "deepened": "{severity}: card ends soon, customer {customer}",
            "escalated": "{severity}: alert not acknowledged in time, customer {customer}",
        },
        "review_due": {
            "raised": "{severity}: review is near, customer {customer}",
            "deepened": "{severity}: review is near, customer {customer}",
            "escalated": "{severity}: alert not acknowledged in time, customer {customer}",
        },
        "break": {
            "raised": "{severity}: balance does not agree, customer {customer}",
            "deepened": "{severity}: balance does not agree, and it grows, customer {customer}",
            "escalated": "{severity}: alert not acknowledged in time, customer {customer}",
        },
        "large_inflow": {
            "raised": "{severity}: large inflow, customer {customer}",
            "deepened": "{severity}: large inflow, and it grows, customer {customer}",
            "escalated": "{severity}: alert not acknowledged in time, customer {customer}",
        },
        "product_maturing": {
            "raised": "{severity}: product matures soon, customer {customer}",
            "deepened": "{severity}: product matures soon, customer {customer}",
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
        "card_expiry": {
            "raised": "【{severity}】客户 {customer} 卡片即将到期",
            "deepened": "【{severity}】客户 {customer} 卡片即将到期",
            "escalated": "【{severity}】客户 {customer} 预警超时未确认",
        },
        "review_due": {
            "raised": "【{severity}】客户 {customer} 即将复审",
            "deepened": "【{severity}】客户 {customer} 即将复审",
            "escalated": "【{severity}】客户 {customer} 预警超时未确认",
        },
        "break": {
            "raised": "【{severity}】客户 {customer} 账务差异",
            "deepened": "【{severity}】客户 {customer} 账务差异，有所扩大",
            "escalated": "【{severity}】客户 {customer} 预警超时未确认",
        },
        "large_inflow": {
            "raised": "【{severity}】客户 {customer} 大额资金流入",
            "deepened": "【{severity}】客户 {customer} 大额资金流入，有所扩大",
            "escalated": "【{severity}】客户 {customer} 预警超时未确认",
        },
        "product_maturing": {
            "raised": "【{severity}】客户 {customer} 产品即将到期",
            "deepened": "【{severity}】客户 {customer} 产品即将到期",
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
        "card_expiry": "The customer's card ends on {due} (rule {rule}, day {day}, branch {branch}). "
        "Details are at your desk under alert {alert}.",
        "review_due": "The customer's next review is due on {due} (rule {rule}, day {day}, branch {branch}). "
        "Details are at your desk under alert {alert}.",
        "break": "The postings do not explain a balance of the customer (rule {rule}, day {day}, branch {branch}). "
        "Details are at your desk under alert {alert}.",
        "large_inflow": "{window}: {share} of the assets have come in (rule {rule}, day {day}, branch {branch}). "
        "Details are at your desk under alert {alert}.",
        "product_maturing": "A product of the customer matures on {due} (rule {rule}, day {day}, branch {branch}). "
        "Details are at your desk under alert {alert}.",
    },
    "zh-CN": {
        "outflow": "{window}资金净流出占资产的 {share}(规则 {rule},日期 {day},网点 {branch})。"
        "请尽快联系客户,详情请在工作台查看预警 {alert}。",
        "upgrade_near": "若余额保持不变,客户在 {close} 日终评定时将达到或接近上一等级"
        "(规则 {rule},日期 {day},网点 {branch})。详情请在工作台查看预警 {alert}。",
        "downgrade_risk": "若余额保持不变,客户将失去现有等级,下次评定为 {close} 日终"
        "(规则 {rule},日期 {day},网点 {branch})。请尽快联系客户,详情请在工作台查看预警 {alert}。",
        "card_expiry": "客户的卡片将于 {due} 到期(规则 {rule},日期 {day},网点 {branch})。详情请在工作台查看预警 {alert}。",
        "review_due": "客户的下次复审为 {due}(规则 {rule},日期 {day},网点 {branch})。详情请在工作台查看预警 {alert}。",
        "break": "客户有一笔余额与流水不符(规则 {rule},日期 {day},网点 {branch})。详情请在工作台查看预警 {alert}。",
        "large_inflow": "{window}资金净流入占资产的 {share}(规则 {rule},日期 {day},网点 {branch})。详情请在工作台查看预警 {alert}。",
        "product_maturing": "客户的产品将于 {due} 到期(规则 {rule},日期 {day},网点 {branch})。详情请在工作台查看预警 {alert}。",
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
        "card_expiry": "The customer's card was to end on {due} (rule {rule}, day {day}, branch {branch}). This "
        "goes out days later: see at your desk under alert {alert} how things stand now.",
        "review_due": "The customer's next review was due on {due} (rule {rule}, day {day}, branch {branch}). This "
        "goes out days later: see at your desk under alert {alert} how things stand now.",
        "break": "The postings did not explain a balance of the customer (rule {rule}, day {day}, branch {branch}). This "
        "goes out days later: see at your desk under alert {alert} how things stand now.",
        "large_inflow": "{window}: {share} of the assets had come in (rule {rule}, day {day}, branch {branch}). This "
        "goes out days later: see at your desk under alert {alert} how things stand now.",
        "product_maturing": "A product of the customer was to mature on {due} (rule {rule}, day {day}, branch {branch}). This "
        "goes out days later: see at your desk under alert {alert} how things stand now.",
    },
    "zh-CN": {
        "outflow": "{window}资金净流出曾占资产的 {share}(规则 {rule},日期 {day},网点 {branch})。"
        "本通知为数日后补发,现状请在工作台查看预警 {alert}。",
        "upgrade_near": "按 {day} 的余额,客户在 {close} 日终评定时将达到或接近上一等级(规则 {rule},网点 {branch})。"
        "本通知为数日后补发,现状请在工作台查看预警 {alert}。",
        "downgrade_risk": "按 {day} 的余额,客户将失去当时的等级,当时的下次评定为 {close} 日终(规则 {rule},网点 {branch})。"
        "本通知为数日后补发,现状请在工作台查看预警 {alert}。",
        "card_expiry": "客户的卡片曾定于 {due} 到期(规则 {rule},日期 {day},网点 {branch})。"
        "本通知为数日后补发,现状请在工作台查看预警 {alert}。",
        "review_due": "客户的复审曾定于 {due}(规则 {rule},日期 {day},网点 {branch})。"
        "本通知为数日后补发,现状请在工作台查看预警 {alert}。",
        "break": "客户曾有一笔余额与流水不符(规则 {rule},日期 {day},网点 {branch})。"
        "本通知为数日后补发,现状请在工作台查看预警 {alert}。",
        "large_inflow": "{window}资金净流入曾占资产的 {share}(规则 {rule},日期 {day},网点 {branch})。"
        "本通知为数日后补发,现状请在工作台查看预警 {alert}。",
        "product_maturing": "客户的产品曾定于 {due} 到期(规则 {rule},日期 {day},网点 {branch})。"
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

VIP_ARRIVED: Final = "arrived"
"""What a notice says that tells of a customer who has come to a branch."""

ARRIVAL_SUBJECTS: Final[dict[str, str]] = {
    "en": "VIP arrived at {branch}, customer {customer}",
    "zh-CN": "贵宾到店：客户 {customer}，网点 {branch}",
}
ARRIVAL_BODIES: Final[dict[str, str]] = {
    "en": "Customer {customer} has taken ticket {number} (class {queue_class}) at branch {branch} and is led to the VIP area. "
    "His file is at the desk.",
    "zh-CN": "客户 {customer} 已在网点 {branch} 取号 {number}（等级 {queue_class}），引导至贵宾区。详情请在工作台查看。",
}

MAIL_FOOTERS: Final[dict[str, str]] = {
    "en": "Notice {notice}. It is sent by a machine: nobody reads answers to it.",
    "zh-CN": "通知编号 {notice}。本邮件由系统自动发送，请勿回复。",
}
"""Below the body of a notice that goes by mail."""


@dataclass(frozen=True, slots=True)
class NoticeTexts:
    """The texts of one language, as notices are filled with them: those above, or a bank's own in their places."""

    subjects: Mapping[str, Mapping[str, str]]  # by kind of alert and state
    bodies: Mapping[str, str]  # by kind of alert
    late_subject: str
    late_bodies: Mapping[str, str]
    clear_subject: str
    clear_body: str
    arrival_subject: str
    arrival_body: str


SHIPPED: Final[Mapping[str, NoticeTexts]] = {
    locale: NoticeTexts(
        SUBJECTS[locale], BODIES[locale], LATE_SUBJECT[locale], LATE_BODIES[locale], CLEAR_SUBJECTS[locale],
        CLEAR_BODIES[locale], ARRIVAL_SUBJECTS[locale], ARRIVAL_BODIES[locale],
    )
    for locale in SUBJECTS
}  # fmt: skip
"""By language, where a bank has none of its own."""
