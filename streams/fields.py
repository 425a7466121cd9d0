"""Numbers that the kernels and the agents share: what became of an event, and which column of its contract is which."""

from __future__ import annotations

# Reasons for dead letters; the codec's own lie below 40.
OK, DUPLICATE = 0, 3
BAD_ID, BAD_CURRENCY, BAD_CLASS, BAD_AMOUNT, BAD_DATE, BAD_INSTANT, BAD_NUMBER, BAD_SOURCE = (
    40,
    41,
    42,
    43,
    44,
    45,
    46,
    47,
)
OTHER_CURRENCY, OTHER_CLASS, CONFLICT, TOO_OLD, TOO_FRAGMENTED, BAD_VERSION = 49, 50, 51, 52, 53, 54
BAD_RATE, BAD_BASE, DELETION, TOO_MANY, BAD_DETAILS, BAD_FACT = 55, 56, 57, 58, 59, 61
EVENT_REASONS = {
    BAD_ID: "id empty or too long",
    BAD_CURRENCY: "unknown currency",
    BAD_CLASS: "unknown asset class",
    BAD_AMOUNT: "amount out of range",
    BAD_DATE: "date out of range",
    BAD_INSTANT: "instant out of range",
    BAD_NUMBER: "journal number out of range",
    BAD_SOURCE: "source empty, too long or too many",
    OTHER_CURRENCY: "account has another currency",
    OTHER_CLASS: "account has another asset class",
    CONFLICT: "different payload under a known identity",
    TOO_OLD: "too old",
    TOO_FRAGMENTED: "too many holes in the account's journal",
    BAD_VERSION: "version out of range",
    BAD_RATE: "rate out of range",
    BAD_BASE: "not a rate to the base currency",
    DELETION: "deletion",
    TOO_MANY: "more than can be held",
    BAD_DETAILS: "too many details",
    BAD_FACT: "value of a fact out of range",
}
# Fields in the order of the contracts; the agent checks them against the schemas.
POSTING_FIELDS = (
    "event_id source journal_seq customer_id account_id asset_class currency amount_minor value_date booked_at nature "
    "customer_initiated branch channel counterparty_bank counterparty_ref reverses"
).split()
P_SOURCE, P_NUMBER, P_CUSTOMER, P_ACCOUNT, P_CLASS, P_CURRENCY, P_AMOUNT, P_DAY, P_BOOKED = range(1, 10)
P_NATURE, P_INITIATED, P_BRANCH, P_CHANNEL, P_BANK, P_COUNTERPARTY, P_REVERSES = range(10, 17)
SNAPSHOT_FIELDS = (
    "event_id source customer_id account_id asset_class currency balance_minor cutoff_at business_day version "
    "opened_on branch"
).split()
S_EVENT, S_SOURCE, S_CUSTOMER, S_ACCOUNT, S_CLASS, S_CURRENCY, S_BALANCE, S_INSTANT, S_DAY, S_VERSION, S_OPENED = range(
    11
)
