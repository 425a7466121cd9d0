"""The Redis keys of the views: the one place that spells them (docs/integrators.md describes them for others).

| key | type | what |
| --- | --- | --- |
| `{p}priority:{customer_ref}` | hash | version, queue_class, vip_area (0/1), valid_until (ISO day; `` = none) |
| `{p}standing:{digest}` | hash | version, record (the Avro value as published); `digest` of the customer_id |
| `{p}alert:{alert_id}` | hash | version, customer_id, status, severity, branch, rm_id, raised_day, record |
| `{p}alerts:customer:{digest}`, `…:rm:{digest}`, `…:branch:{digest}` | sorted set | alert ids by raised day; newest kept |
| `{p}view:next` | hash | `topic:partition` → next offset, written together with the rows |
| `{p}view:holds` | hash | `topic:partition:rows` and `…:sum` → rows and the sum of their versions, moved with the rows |
| `{p}view:sweep` | hash | what the last sweep over the rows found, for whoever asks how complete the view is |
| `{p}fresh:{topic}` | hash | `topic:partition` → ms (Redis clock) when all of Kafka's was in the view; 0 = never |
| the same | | `rows` → ms when no row was known to be missing; 0 = some are |
| `{p}lacking:{topic}:{partition}` | sorted set | keys whose last record can't be read, by offset: the view lacks them; |
| the same | | `?OFFSET:MS`: records whose keys nobody can read, and until when they hold the partition back |
| `{p}view:meta` | hash | cluster (Kafka's cluster id), the id of each topic by its name, format |
| `{p}view:world` | hash | reference_key (fingerprint), zone, epoch: of the log's identity |
| `{p}view:writer` | string, expires | token of the one writer |
| `{p}notice:{notice_id}` | string, expires | a notice that has been delivered |
| `{p}notice:given-up:{notice_id}` | string, expires | why a person gave a notice up |
| `{p}notices:waiting` | hash | notice id → where it goes and why its channel has not taken it yet |
| `{p}command:key:{digest}` | string, expires | digest of the body that an idempotency key came with |
| `{p}command:at:{command_id}` | hash, expires | record (as stamped, JSON), by (the actor's id), sent |
| `{p}command:result:{command_id}` | string, expires | what a worker has answered, JSON |
| `{p}command:offsets` | hash | partition of command-results → next offset |

A key names nobody: key lists, slow logs and errors go further than values. `digest` is what `digest_of_name` gives.
"""

import hashlib
import re
from dataclasses import dataclass

_UNSEEN = re.compile(r"\?\d+:(\d{1,18})")

VIEW_FORMAT = "3"
"""Raised when the layout changes: a view of another format is wiped and built again."""


NAME_DIGEST_CHARS = 24
"""Of 96 bits: among ten million names two are alike with a chance of one in 10^15."""


def digest_of_name(name: str) -> str:
    """What stands in a key for a customer, a manager or a branch: the first characters of the SHA-1 of its UTF-8, in hex.

    Redis' own scripts have SHA-1 alone. It hides a name at sight, not from somebody who tries all of them.
    """
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:NAME_DIGEST_CHARS]


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one prefix: `tidegauge:`, or `tidegauge@PREFIX:` with a topic prefix.

    So two installations can share a server.
    """

    prefix: str

    @classmethod
    def of(cls, topic_prefix: str) -> "Keys":
        """Keys of an installation with this `topic_prefix`."""
        return cls(f"tidegauge@{topic_prefix}:" if topic_prefix else "tidegauge:")

    def priority(self, customer_ref: str) -> str:
        """Hash of a queue class."""
        return f"{self.prefix}priority:{customer_ref}"

    def standing(self, customer_id: str) -> str:
        """Hash of a standing."""
        return self.standings + digest_of_name(customer_id)

    @property
    def standings(self) -> str:
        """What the keys of all standings begin with."""
        return f"{self.prefix}standing:"

    def alert(self, alert_id: str) -> str:
        """Hash of an alert's newest state."""
        return f"{self.prefix}alert:{alert_id}"

    def alerts(self, by: str, name: str) -> str:
        """Sorted set of alert ids; `by` is customer, rm or branch."""
        return self.alerts_of(by) + digest_of_name(name)

    def alerts_of(self, by: str) -> str:
        """What the keys of all lists of a kind begin with."""
        return f"{self.prefix}alerts:{by}:"

    def notice(self, notice_id: str) -> str:
        """Mark of a delivered notice."""
        return f"{self.prefix}notice:{notice_id}"

    def given_up(self, notice_id: str) -> str:
        """Why a notice was given up."""
        return f"{self.prefix}notice:given-up:{notice_id}"

    @property
    def waiting(self) -> str:
        """Hash of the notices that wait."""
        return f"{self.prefix}notices:waiting"

    def command_key(self, digest: str) -> str:
        """Digest of the body that an idempotency key came with."""
        return f"{self.prefix}command:key:{digest}"

    def command(self, command_id: str) -> str:
        """Hash of a command of the last day."""
        return f"{self.prefix}command:at:{command_id}"

    def command_result(self, command_id: str) -> str:
        """What became of it."""
        return f"{self.prefix}command:result:{command_id}"

    @property
    def command_offsets(self) -> str:
        """Hash of the next offsets of command-results."""
        return f"{self.prefix}command:offsets"

    @property
    def next(self) -> str:
        """Hash of the next offsets."""
        return f"{self.prefix}view:next"

    @property
    def holds(self) -> str:
        """Hash of how many rows each partition gave, and the sum of their versions."""
        return f"{self.prefix}view:holds"

    @property
    def sweep(self) -> str:
        """Hash of what the last sweep found."""
        return f"{self.prefix}view:sweep"

    def fresh(self, topic: str) -> str:
        """Hash of the instants of freshness of a topic's partitions."""
        return f"{self.prefix}fresh:{topic}"

    def lacking(self, source: str) -> str:
        """Sorted set of the keys that the view lacks of a partition (`topic:partition`; `` gives what all begin with)."""
        return f"{self.prefix}lacking:{source}"

    @property
    def meta(self) -> str:
        """Hash that says what the view was built from."""
        return f"{self.prefix}view:meta"

    @property
    def world(self) -> str:
        """Hash of what a look-up has to agree with."""
        return f"{self.prefix}view:world"

    @property
    def writer(self) -> str:
        """Lease of the one writer."""
        return f"{self.prefix}view:writer"

    @property
    def rows(self) -> tuple[str, ...]:
        """Patterns of all that a rebuild wipes, first of all what says that the view is complete."""
        return tuple(
            f"{self.prefix}{kind}:*" for kind in ("fresh", "priority", "standing", "alert", "alerts", "lacking")
        )


def member_of(key: str) -> str:
    """A key in the set of those that are lacking."""
    return f"?{key}" if key.startswith("?") else key


def unseen_member(offset: int, until_ms: int) -> str:
    """What stands there for records whose keys nobody can read."""
    return f"?{offset}:{until_ms}"


def held_until(member: str) -> int | None:
    """Until when such records hold their partition back, ms since the epoch; None for the member of a key."""
    found = _UNSEEN.fullmatch(member)
    return None if found is None else int(found[1])


def as_bytes(answer: object) -> bytes:
    """A text out of the server's answer. TypeError when the client was made to decode it, which the views don't want."""
    if not isinstance(answer, bytes):
        raise TypeError(f"bytes expected of the server, not {type(answer).__name__}")
    return answer
