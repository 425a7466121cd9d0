"""Every word of the demo, in English and Chinese."""

from __future__ import annotations

from datetime import date
from typing import Final

from streams.calendar import date_of

TIERS: Final[dict[str, dict[str, str]]] = {
    "en": {"ordinary": "ordinary", "gold": "gold", "platinum": "platinum", "diamond": "diamond", "private": "private"},
    "zh-CN": {"ordinary": "普通", "gold": "金卡", "platinum": "白金卡", "diamond": "钻石卡", "private": "私人银行"},
}

_EN: Final = {
    "title": "A simulated bank: {customers} customers, five months, seed {seed}; every event goes through Kafka",
    "stack": "Starting Kafka and a Redis server of the demo's own in {folder}",
    "worker": "Starting the worker; the very first start compiles its kernels, which takes a minute",
    "worker_up": "The worker was ready after {seconds} s. The bank opens on {first}.",
    "killed": "{day}, in the middle of the business day: the worker is killed (kill -9), and another one started.",
    "recovered": "The new worker read its state back from Kafka and was ready after {seconds} s. Whether anything was "
    "lost or done twice, the check at the end will tell.",
    "story": "Story {number} of 7, {title}",
    "stop": ". ",
    "upgrade": "Upgrade at month close",
    "upgrade.told": "{customer} holds 400,000.00 and brings {amount} on {day}. At the close of {close} the quarter's "
    "daily average is {value}, at least {minimum}: {before} becomes {after} from {effective} on.",
    "outflow": "Large outflow",
    "outflow.told": "{customer}, {tier}, sends {outflow} of {reference} to {bank} on {day}, a share of {share} %. "
    "Manager {rm} is alerted at once, by rule {rule}.",
    "drip": "Drip",
    "drip.told": "{customer}, {tier}, moves {each} away every second day. No posting is large; with the fifth, on {day}, "
    "{outflow} of {reference} are gone within {window} days, and rule {rule} alerts {rm}.",
    "purchase": "Purchase that rightly raises nothing",
    "purchase.told": "{customer} puts {amount} into a wealth product of the bank on {day}. The money stays: "
    "AUM is {aum} as before, and nobody is alerted.",
    "late_posting": "Late posting into a closed month",
    "late_posting.told": "{customer} gets {amount} booked on {day} with value {value_date}. The close of {restated} is "
    "restated: the quarter's average is {current}, not {previous} ({before} would be {after}). The tier of "
    "then stays as it was decided.",
    "broken_balance": "Broken balance",
    "broken_balance.told": "The nightly balance of {customer}'s account on {day} has {amount} that no posting "
    "explains: a break is opened.",
    "broken_balance.resolved": "The missing posting of {customer} arrived on {day}: the break of {amount} is resolved.",
    "taken_back": "Outflow that is taken back",
    "taken_back.told": "{customer} sends {each} to another bank on {day}, and {rm} is alerted. The next morning the posting is "
    "reversed: {outflow} are out, the case is taken back, and who was told is told that it is over.",
    "hall": "At the branch",
    "hall.told": "{customer} waits with ticket {number}, number {before} in the queue. His tier rises, and his ticket moves at "
    "once: class {queue_class}, the next to be called.",
    "progress": "{day}  {events} events, {rate}/s, {lag} behind; {tiers}; {alerts} alerts, {changes} tier changes, "
    "{restatements} restatements",
    "day": "business day", "events": "events sent", "rate": "worker, records/s", "lag": "records behind",
    "tiers": "customers by tier", "alerts": "alerts", "changes": "tier changes", "restatements": "restatements",
    "notices": "notices to managers", "state": "worker", "state.up": "running", "state.down": "killed, restarting",
    "ended": "The bank has closed its {days} days: {events} events in {seconds} s. Now every figure is computed again.",
    "check": "Check against an independent SQL computation (DuckDB) over the {events} raw events",
    "good": "good", "bad": "WRONG",
    "standings": "AUM, 13 monthly, quarter, year and trailing averages and the tier of {n} customers as of {day}: "
    "{figures} figures, {wrong} differ",
    "published": "the same figures as published on the topic standings at the last close: {wrong} of {figures} differ",
    "tier_changes": "{n} tier changes of {months} month closes: {wrong} are missing, wrong or too many",
    "singles": "{n} postings that took a fifth of the money or more: {wrong} without a case",
    "internal": "{n} cases of outflow: {wrong} tell of more than has left the bank",
    "doubled": "{n} output records with ids of their own: {wrong} are there twice",
    "dead": "{n} dead letters, where none is due",
    "view": "the Redis view of {n} customers: {wrong} differ from the topic",
    "stories": "the seven stories: {wrong} went otherwise than planted",
    "more": "and {n} more",
    "all_good": "Every figure is right. {seconds} s in all.",
    "not_good": "NOT EVERYTHING IS RIGHT: see the differences above. {seconds} s in all.",
    "look": "Where to look now:",
    "look.up": "the demo's Kafka and Redis again, with all that is in them",
    "look.explain": "a decision with its evidence, and whether it holds",
    "look.standings": "every customer as of a day",
    "look.alerts": "alerts of a customer",
    "look.queue": "what a kiosk would hear",
    "look.desk": "the desk, at http://localhost:{port}: come as {rm}, whose customer's money has left",
    "look.down": "stop them",
    "kept": "Kafka and Redis are still running.",
}  # fmt: skip

_ZH: Final = {
    "title": "模拟银行:{customers} 名客户,五个月,种子 {seed};每个事件都经过 Kafka",
    "stack": "在 {folder} 启动演示专用的 Kafka 和 Redis 服务器",
    "worker": "启动工作进程;首次启动需要编译内核,约一分钟",
    "worker_up": "工作进程 {seconds} 秒后就绪。银行于 {first} 开业。",
    "killed": "{day} 营业日当中:强制终止工作进程(kill -9),另起一个。",
    "recovered": "新的工作进程从 Kafka 读回状态,{seconds} 秒后就绪。是否有遗漏或重复,最后的核对会说明。",
    "story": "故事 {number}/6:{title}",
    "stop": "。",
    "upgrade": "月末升级",
    "upgrade.told": "{customer} 原有 400,000.00,{day} 转入 {amount}。{close} 日终时季度日均为 {value},"
    "达到 {minimum}:自 {effective} 起由{before}升为{after}。",
    "outflow": "大额流出",
    "outflow.told": "{customer}({tier})于 {day} 将 {reference} 中的 {outflow} 转往 {bank},占 {share} %。"
    "规则 {rule} 立即提醒客户经理 {rm}。",
    "drip": "蚂蚁搬家",
    "drip.told": "{customer}({tier})每隔一天转出 {each}。单笔都不大;{day} 的第五笔使 {window} 天内流出达到 {reference} 中的 {outflow},"
    "规则 {rule} 提醒 {rm}。",
    "purchase": "理应不提醒的购买",
    "purchase.told": "{customer} 于 {day} 用 {amount} 购买本行理财产品。资金未离开本行:"
    "AUM 仍为 {aum},不提醒任何人。",
    "late_posting": "迟到入账,涉及已关账月份",
    "late_posting.told": "{customer} 于 {day} 入账 {amount},起息日 {value_date}。{restated} 的日终重述:"
    "季度日均应为 {current},而非 {previous}({before}本应为{after})。当时所定的层级不变。",
    "broken_balance": "余额不符",
    "broken_balance.told": "{customer} 的账户 {day} 的夜间余额中有 {amount} 没有对应的入账:登记一笔差异。",
    "broken_balance.resolved": "{customer} 缺失的入账于 {day} 到达:{amount} 的差异已消除。",
    "taken_back": "随即撤回的流出",
    "taken_back.told": "{customer} 于 {day} 向他行转出 {each},已提醒 {rm};次日上午该笔冲正:流出为 {outflow},案件撤回,"
    "并通知收到提醒的人。",
    "hall": "网点排队",
    "hall.told": "{customer} 持 {number} 号等候,排在第 {before} 位。层级一经提升,号票立即前移:等级{queue_class},下一个被叫。",
    "progress": "{day}  事件 {events},{rate}/秒,滞后 {lag};{tiers};预警 {alerts},层级变动 {changes},重述 {restatements}",
    "day": "营业日", "events": "已发送事件", "rate": "工作进程,记录/秒", "lag": "滞后记录",
    "tiers": "各层级客户数", "alerts": "预警", "changes": "层级变动", "restatements": "重述",
    "notices": "发给客户经理的通知", "state": "工作进程", "state.up": "运行中", "state.down": "已被终止,正在重启",
    "ended": "银行已关账 {days} 天:{events} 个事件,{seconds} 秒。现在重新计算每个数字。",
    "check": "与独立的 SQL 计算(DuckDB,基于 {events} 个原始事件)核对",
    "good": "正确", "bad": "错误",
    "standings": "{n} 名客户截至 {day} 的 AUM、13 个月均、季均、年均、滚动日均及层级:{figures} 个数字,{wrong} 个不同",
    "published": "最后一次日终发布在 standings 主题上的同样数字:{figures} 个中 {wrong} 个不同",
    "tier_changes": "{months} 次月末日终的 {n} 次层级变动:{wrong} 个缺失、错误或多余",
    "singles": "{n} 笔带走五分之一以上资金的流出:{wrong} 笔没有案件",
    "internal": "{n} 个流出案件:{wrong} 个所报多于实际流出本行的资金",
    "doubled": "{n} 条带有唯一标识的输出记录:{wrong} 条重复",
    "dead": "{n} 条死信,本应没有",
    "view": "{n} 名客户的 Redis 视图:{wrong} 个与主题不同",
    "stories": "七个故事:{wrong} 个与预设不符",
    "more": "另有 {n} 个",
    "all_good": "所有数字都正确。共 {seconds} 秒。",
    "not_good": "有错误:见上面的差异。共 {seconds} 秒。",
    "look": "接下来可以看:",
    "look.up": "再次启动演示的 Kafka 和 Redis,数据都在",
    "look.explain": "一项决定及其依据,以及依据是否成立",
    "look.standings": "所有客户截至某日的情况",
    "look.alerts": "一名客户的预警",
    "look.queue": "排队机得到的答复",
    "look.desk": "工作台 http://localhost:{port}:以 {rm} 登录,其客户有资金流出",
    "look.down": "停止",
    "kept": "Kafka 和 Redis 仍在运行。",
}  # fmt: skip

TEXTS: Final[dict[str, dict[str, str]]] = {"en": _EN, "zh-CN": _ZH}


def money_text(minor: int) -> str:
    """Minor units of a currency with two decimals, with thousands separators."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100:,}.{abs(minor) % 100:02d}"


def day_text(day: int | date) -> str:
    """ISO date of a day number or a date."""
    return (date_of(day) if isinstance(day, int) else day).isoformat()


class Words:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts, self._tiers = TEXTS[language], TIERS[language]

    def __call__(self, name: str, **values: object) -> str:
        """A text with its places filled; ints with thousands separators."""
        shown = {key: f"{value:,}" if type(value) is int else value for key, value in values.items()}
        return self._texts[name].format(**shown)

    def tier(self, tier: str) -> str:
        """A tier's name."""
        return self._tiers.get(tier, tier)
