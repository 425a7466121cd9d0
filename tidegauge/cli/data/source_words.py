"""What `tidegauge check-source` says of each finding: what was found, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# code -> (what was found, what to do)
EN: Final[Mapping[str, tuple[str, str]]] = {
    "no_records": ("no record that could be judged", "are topic, prefix, cluster and --source right?"),
    "no_key": ("records without a key: {count}", "the key is customer_id as plain UTF-8 text"),
    "other_key": (
        "records whose key is not their customer_id: {count}",
        "the key is the very text of customer_id: no quotes, no schema, no registry prefix",
    ),
    "partition_crc32": (
        "records on the partition that CRC32 gives, librdkafka's default, and not murmur2: {count}",
        "set partitioner=murmur2_random in the producer",
    ),
    "partition_other": (
        "records on another partition than murmur2 gives for their key: {count}",
        "name no partition; leave it to murmur2 (librdkafka: partitioner=murmur2_random)",
    ),
    "unreadable": ("records that cannot be read: {count}, {reason}", "docs/integrators.md, schemas of your own"),
    "refused": ("records that are refused: {count}, {reason}", "docs/formats.md, values"),
    "tombstone": ("deletions, records with a key and no value: {count}", ""),
    "deleted_row": ("deletions, rows whose __deleted is true: {count}", ""),
    "number_low": ("postings whose journal_seq is 0 or below: {count}", "number each account's postings from 1"),
    "number_hole": (
        "accounts with holes in their journal numbers: {count}; numbers missing: {missing}",
        "journal_seq is consecutive per source and account; places are those of the accounts' highest numbers",
    ),
    "number_conflict": (
        "postings that repeat a journal_seq of their account with another amount, day or nature: {count}",
        "a posting keeps its number; one that corrects it has a number of its own",
    ),
    "two_owners": (
        "accounts under more than one customer: {count}",
        "each customer has what comes under his own number; a joint account is sent under its primary owner alone",
    ),
    "date_absurd": (
        "records whose {field} is no day from 1990 to 2099: {count}",
        "dates are days since 1970-01-01, instants milliseconds since then in UTC",
    ),
    "date_apart": ("records whose {field} and {other} lie more than {days} days apart: {count}", "is a date wrong?"),
    "date_ahead": (
        "records whose {field} lies ahead of the day they were written on: {count}",
        "instants are UTC, dates are of the bank's zone",
    ),
    "nature_unknown": (
        "postings with the nature unknown: {count}, {percent} % of all",
        "say what moved the money: only external postings count as flow in or out",
    ),
    "currency_unknown": ("records whose {field} is no currency that is taken: {count}", "write the ISO 4217 code, such as CNY"),
    "base_other": ("rates whose base is not {base}: {count}", "send rates to the base currency"),
    "copy_missing": (
        "partitions that lack rates which others have: {count} of {partitions}",
        "send each rate to every partition",
    ),
    "key_shared": (
        "rates under a key that another rate has: {count}; compaction would take one of them",
        "a key for each version of a rate, such as USD/CNY/20514/1: currency, base, days since 1970-01-01, version",
    ),
    "amount_zero": ("postings whose amount_minor is 0: {count}", "is the right column sent, in minor units?"),
}  # fmt: skip
ZH: Final[Mapping[str, tuple[str, str]]] = {
    "no_records": ("没有可供检查的记录", "主题、前缀、集群和 --source 是否正确？"),
    "no_key": ("{count} 条记录没有键", "键应为 customer_id 的 UTF-8 纯文本"),
    "other_key": ("{count} 条记录的键不是其 customer_id", "键必须与 customer_id 的文本完全一致：不加引号，不带模式，不带注册表前缀"),
    "partition_crc32": (
        "{count} 条记录位于 CRC32（librdkafka 的默认算法）而非 murmur2 给出的分区",
        "请在生产者中设置 partitioner=murmur2_random",
    ),
    "partition_other": (
        "{count} 条记录不在 murmur2 按其键给出的分区",
        "不要指定分区，交由 murmur2 决定（librdkafka：partitioner=murmur2_random）",
    ),
    "unreadable": ("{count} 条记录无法读取：{reason}", "参见 docs/integrators.md 的 schemas of your own"),
    "refused": ("{count} 条记录被拒绝：{reason}", "参见 docs/formats.md 的 values"),
    "tombstone": ("{count} 条记录有键无值：即删除", ""),
    "deleted_row": ("{count} 条记录标明自身已被删除（__deleted）", ""),
    "number_low": ("{count} 笔交易的 journal_seq 小于或等于 0", "每个账户的交易从 1 开始编号"),
    "number_hole": (
        "{count} 个账户的流水号不连续：缺少 {missing} 个号码",
        "journal_seq 在同一来源、同一账户内必须连续；所列位置为各账户最大号码所在",
    ),
    "number_conflict": (
        "{count} 笔交易重复使用了本账户的 journal_seq，但金额、日期或性质不同",
        "一笔交易的号码不变；更正交易须另编号码",
    ),
    "two_owners": (
        "{count} 个账户出现在多个客户名下",
        "每位客户只计入其名下的记录；联名账户只应以主要持有人的客户号发送",
    ),
    "date_absurd": (
        "{count} 条记录的 {field} 不在 1990 年至 2099 年之间",
        "日期为自 1970-01-01 起的天数，时刻为自该日起的毫秒数（UTC）",
    ),
    "date_apart": ("{count} 条记录的 {field} 与 {other} 相差超过 {days} 天", "是否有日期错误？"),
    "date_ahead": ("{count} 条记录的 {field} 晚于其写入日", "时刻为 UTC，日期按银行所在时区"),
    "nature_unknown": (
        "{percent} % 的交易（{count} 笔）性质为 unknown",
        "请注明资金变动的原因：只有 external 交易计为资金流入或流出",
    ),
    "currency_unknown": ("{count} 条记录的 {field} 不是可接受的货币", "请填写 ISO 4217 代码，例如 CNY"),
    "base_other": ("{count} 条汇率的 base 不是 {base}", "请发送对本位币的汇率"),
    "copy_missing": ("{partitions} 个分区中有 {count} 个缺少其他分区已有的汇率", "每条汇率须发送到所有分区"),
    "key_shared": (
        "{count} 条汇率与另一条汇率共用一个键：主题压缩时会丢失其中之一",
        "每个版本的汇率使用各自的键，例如 USD/CNY/20514/1：货币、本位币、自 1970-01-01 起的天数、版本",
    ),
    "amount_zero": ("{count} 笔交易的 amount_minor 为 0", "发送的列是否正确，是否以最小货币单位计？"),
}  # fmt: skip
WORDS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {"en": EN, "zh-CN": ZH}
# What to do instead of a deletion, by topic.
DELETIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "transactions": "postings are not deleted: send one that reverses it, with `reverses`",
        "balances": "balances are not deleted: send it anew with a higher version",
        "": "a deletion changes nothing here: send what holds now",
    },
    "zh-CN": {
        "transactions": "交易不可删除：请发送一笔带 `reverses` 的冲正交易",
        "balances": "余额不可删除：请以更高的 version 重新发送",
        "": "删除在此不起作用：请发送当前有效的内容",
    },
}
SUMS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "whole": "{topic}: records judged: {records}; findings: {findings}",
        "cut": "{topic}: records judged: {records}, the newest (--limit); findings: {findings}",
    },
    "zh-CN": {
        "whole": "{topic}：已检查 {records} 条记录，发现 {findings} 个问题",
        "cut": "{topic}：已检查最新的 {records} 条记录（--limit），发现 {findings} 个问题",
    },
}
