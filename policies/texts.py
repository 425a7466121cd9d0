"""What people read of decisions: codes of the lifecycle, flags and kinds, in Chinese and English."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Final

from policies.model.terms import Name

_CENTS, _PLACES, _DIGITS = 2, 6, Context(prec=120, rounding=ROUND_HALF_EVEN)

REFUSALS: Final[dict[str, Name]] = {
    "unknown_card": Name("本方案没有这种卡", "the pack has no such card"),
    "below_standard": Name("未达到标准", "the standard of the card or tier is not met"),
    "no_application": Name("该等级不凭申请变动", "the pack takes no application for this tier"),
    "apply_for_card": Name("等级随卡，请申请该卡", "tiers are those of cards: apply for the card"),
    "request_by_other_role": Name("申请人岗位不符", "another role must request it"),
    "approval_by_other_role": Name("审批人岗位不符", "another role must approve it"),
    "same_person": Name("申请人与审批人不得为同一人", "the same person may not request and approve"),
    "nothing_requested": Name("没有待处理的申请", "nothing was requested"),
    "not_approved": Name("尚未审批", "it is not approved yet"),
    "not_filed": Name("尚未备案", "it is not filed yet"),
    "branch_may_not_issue": Name("该级机构无权发卡", "a branch of this level may not issue the card"),
    "no_wealth_manager": Name("网点没有理财经理，不得发卡", "a branch without a wealth manager may not issue the card"),
    "bad_card_number": Name("卡号位数不符", "the card number has another length"),
    "record_missing": Name("所需手续不全", "a record that the pack asks for is missing"),
    "contract_not_signed": Name("换卡须重新签订合同", "the card contract must be signed again"),
    "no_such_card": Name("客户没有处于该状态的卡", "the customer has no card in that state"),
    "card_has_no_end": Name("该卡没有有效期", "the card has no end"),
    "not_for_this_role": Name("该岗位不得持员工卡", "no staff card for this role"),
    "unknown_record": Name("没有这种手续", "there is no such record"),
    "no_exceptions": Name("本方案没有特批", "the pack knows no such exception"),
    "unknown_tier": Name("本方案没有这个等级", "the pack has no such tier"),
    "approver_names_the_tier": Name("审批人须指定等级", "the approver must name the tier"),
    "no_pinning": Name("不能沿用旧版", "there is no older version to stay on"),
    "unknown_action": Name("没有这种操作", "there is no such action"),
    "no_scheme": Name("该类客户没有方案", "no pack is for customers of this class"),
    "unknown_case": Name("该客户没有这个案件", "the customer has no such case"),
    "case_closed": Name("案件已结束", "the case has ended"),
    "stale_step": Name("案件已有新进展", "the case has moved on since the step that the act names"),
    "other_role": Name("该岗位不能办理", "another role must do it"),
    "other_owner": Name("案件由他人负责", "somebody else is responsible for the case"),
    "already_acknowledged": Name("已确认", "it is acknowledged already"),
    "bad_until": Name("暂缓日期须在 90 天之内", "a snooze ends on its own day or within 90 days"),
    "no_new_owner": Name("未指明新的负责人", "no other owner is named"),
    "unknown_outcome": Name("没有这种结果", "there is no such outcome"),
    "no_reason": Name("未说明原因", "no reason is given"),
    "too_far_ahead": Name("日期过于超前", "its day is too far ahead of the last close"),
    "answered": Name("已有人处理", "somebody has answered"),
    "no_higher_level": Name("级别不高于当前级别", "the level is not above the present one, or beyond 9"),
    "not_snoozed": Name("案件未暂缓", "the case is not snoozed"),
    "too_early": Name("暂缓尚未到期", "the snooze has not ended yet"),
    "not_stamped": Name("未经核验身份", "it is not by a command, whose actor is verified"),
    "approves_himself": Name("审批人须亲自操作", "who approves does so by a command of his own"),
}
DECISION_REASONS: Final[dict[str, Name]] = {
    "close": Name("日终评定", "decided at a close"),
    "continuous": Name("实时评定", "decided as it happened"),
    "restated": Name("追溯重算", "a close was restated"),
    "override": Name("特批", "an exception was approved or ended"),
    "card": Name("卡片变动", "the card has changed"),
    "record": Name("手续变动", "a record was added or withdrawn"),
    "application": Name("申请获准", "an application was granted"),
    "review": Name("定期复审", "the review was due"),
    "expiry": Name("到期", "it has ended"),
    "policy": Name("方案变更", "another pack or version"),
    "stale": Name("数据源滞后", "a source is too old"),
    "pending": Name("原决定到期生效", "the day of an earlier decision has come"),
    "veto": Name("否决", "the veto is met"),
    "upgrade": Name("可申请升级", "an upgrade may be applied for"),
    "downgrade": Name("应办理降级", "a downgrade is to be dealt with"),
}
FLAG_NAMES: Final[dict[str, Name]] = {
    "vip": Name("贵宾", "VIP"),
    "eligible": Name("符合标准，尚未认定", "meets a standard, not admitted yet"),
    "standard": Name("达标", "meets the standard of the card"),
    "below-standard": Name("未达标", "below the standard of the card"),
    "notable": Name("特批客户", "admitted by exception"),
    "pinned": Name("沿用旧版标准", "kept on an older version"),
    "upgrade-offer": Name("可申请升级", "may apply for an upgrade"),
    "downgrade-case": Name("待办降级", "downgrade to be dealt with"),
    "grace": Name("宽限期内", "in the grace period"),
    "courtesy": Name("员工卡", "carries a staff card"),
    "deferred": Name("暂缓变动", "change put off while a source is stale"),
    "renewal-due": Name("卡片即将到期", "the card ends soon"),
    "review-due": Name("即将复审", "the next review is near"),
    "potential_customer": Name("潜力客户", "potential customer"),
    "fall-notice": Name("已通知降级", "told that the tier will be lower"),
}


def figure(value: Fraction, bound: Decimal | Fraction | None) -> tuple[str, bool]:
    """(A value in digits, whether they are all of it): to the cent, or as many that it compares with `bound` as it does.

    So 499,999.999 is never shown as 500000 beside a limit of 500000.00 that it does not reach.
    """
    decimals, limit = _CENTS, value if bound is None else Fraction(bound)
    while True:
        rounded = Fraction(round(value * 10**decimals), 10**decimals)
        if _side(rounded, limit) == _side(value, limit):
            break
        decimals += 1
    text = f"{Decimal(round(value * 10**decimals)).scaleb(-decimals, _DIGITS):f}"
    return text.removesuffix(".00"), rounded == value


def plain_number(value: Fraction) -> str:
    """A decimal number with as many places as it has, at most six."""
    text = f"{Decimal(round(value * 10**_PLACES)).scaleb(-_PLACES, _DIGITS):f}"
    return text.rstrip("0").rstrip(".")


def _side(value: Fraction, limit: Fraction) -> int:
    return (value > limit) - (value < limit)
