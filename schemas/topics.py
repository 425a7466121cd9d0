"""The topics by what they are for. Each has a contract beside this file, and its settings in deploy/topics.py."""

from __future__ import annotations

from typing import Final

# Inputs. Keyed topics go to the partition of their customer; of broadcast topics every partition gets a copy.
KEYED: Final = ("transactions", "balances", "customers", "facts", "crm-actions")
BROADCAST: Final = ("fx-rates", "policies")
MARKED: Final = KEYED + BROADCAST  # a day close marks each partition of each of them
CLOSES: Final = "business-days"
# What the standing job reads, in the order in which it takes them up.
INPUTS: Final = ("transactions", "balances", "customers", "facts", "fx-rates", "policies", "crm-actions", CLOSES)

# Outputs. Of a state the last record of its key counts; everything else is an event, which stays.
STATES: Final = ("standings", "outlooks", "queue-priority")
EVENTS: Final = ("tier-changes", "decisions", "restatements", "rm-alerts")
OWNERS: Final = "account-owners"  # which customers an account has come under; in the account's partition
ACCOUNT_OWNER: Final = "account_owner"  # the kind of restatement that comes of it, and of no close
OTHERS: Final = (OWNERS, "command-results", "tasks", "notices", "queue-tickets", "audit-log", "dead-letters", "world")
TOPICS: Final = (*MARKED, CLOSES, *STATES, *EVENTS, *OTHERS)
MARK: Final = "close-mark"  # the contract of the marks in the inputs; no topic of its own
MARK_KEY: Final = b"@close"  # of the marks
