"""Decodes a topic's records by the thousand: columns where only plain fields are needed, else one by one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from schemas.codec.blocks import Reader
from schemas.codec.primitives import LENGTH_MAX, NULL, REF_BITS
from schemas.codec.records import RecordError, decode_one
from schemas.codec.status import REASONS, Status
from schemas.codec.values import decode_values
from schemas.registry import Registry

Decoded = dict[str, Any] | RecordError
Decode = Callable[[str, Sequence[bytes]], list[Decoded]]
"""Records of a topic, each decoded or the error; raises RegistryError if the registry doesn't answer."""

TEXT, NUMBER, FLAG = "text", "number", "flag"


class Columnar:
    """Decodes some plain fields of a topic; dates come as day numbers."""

    def __init__(self, topic: str, fields: Mapping[str, str], registry: Registry) -> None:
        self.reader, self.fields = Reader(topic, registry), fields

    def __call__(self, values: Sequence[bytes]) -> list[Decoded]:
        """The fields of each value, or what is wrong with it."""
        columns = decode_values(values, self.reader)
        raw = columns.raw.tobytes()
        bad = columns.status.nonzero()[0]
        columns.data[bad] = NULL
        found: list[list[Any]] = []
        for name, kind in self.fields.items():
            column = columns.data[:, self.reader.index[name]].tolist()
            if kind == TEXT:
                column = [
                    None if at == NULL else raw[at >> REF_BITS : (at >> REF_BITS) + (at & LENGTH_MAX)].decode()
                    for at in column
                ]
            elif kind == FLAG:
                column = [bool(at) for at in column]
            else:
                column = [None if at == NULL else at for at in column]
            found.append(column)
        decoded: list[Decoded] = [dict(zip(self.fields, row, strict=True)) for row in zip(*found, strict=True)]
        for i in bad.tolist():
            decoded[i] = RecordError(REASONS.get(Status(columns.status[i]), "not a record of this topic"))
        return decoded


def _one_by_one(topic: str, values: Sequence[bytes], registry: Registry) -> list[Decoded]:
    """Every field of each value, or what is wrong with it."""
    decoded: list[Decoded] = []
    for value in values:
        try:
            decoded.append(decode_one(value, registry, name=topic))
        except RecordError as problem:
            decoded.append(problem)
    return decoded


NEEDED: Final = {
    "queue-priority": {"queue_class": TEXT, "vip_area": FLAG, "valid_until": NUMBER, "version": NUMBER},
    "standings": {"source_seq": NUMBER},
}
"""Of these topics the view needs only these fields."""


class Decoder:
    """Decodes the view's topics by the ids of a registry."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.columnar = {topic: Columnar(topic, fields, registry) for topic, fields in NEEDED.items()}

    def __call__(self, topic: str, values: Sequence[bytes]) -> list[Decoded]:
        """Records of a topic, each decoded or the error."""
        columnar = self.columnar.get(topic)
        return _one_by_one(topic, values, self.registry) if columnar is None else columnar(values)
