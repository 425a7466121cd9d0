"""Find, read and check policy packs. A pack with any problem is refused whole; the running one stays (R-254)."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from policies import sections
from policies.model import CUSTOMER_CLASSES, AlertRule, ClassPolicy, Evaluation, Name, Pack, Queue, Tier
from policies.reader import Item, PackError, Problem, read_text

PACKS_DIR = Path(__file__).parent
SUFFIX = ".yaml"


def available_packs() -> list[str]:
    """The ids of the packs that come with Tidegauge, sorted."""
    return sorted(path.stem for path in PACKS_DIR.glob(f"*{SUFFIX}"))


def load_pack(path_or_id: str | Path) -> Pack:
    """The pack in a file, or the one of that id that comes with Tidegauge.

    Raises PackError naming file, line and field of every problem found.
    """
    path = _locate(path_or_id)
    if path is None:
        known = ", ".join(available_packs())
        raise PackError([Problem(str(path_or_id), 1, "", f"no such file and no such pack; packs here: {known}")])
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise PackError([Problem(str(path_or_id), line, "", "is not UTF-8")]) from error
    except OSError as error:
        raise PackError([Problem(str(path_or_id), 1, "", f"cannot be read: {error.strerror}")]) from error
    return parse_pack(text, str(path_or_id) if Path(path_or_id).suffix else path.name)


def _locate(path_or_id: str | Path) -> Path | None:
    path = Path(path_or_id)
    if path.is_file():
        return path
    shipped = PACKS_DIR / f"{path_or_id}{SUFFIX}"
    return shipped if shipped.parent == PACKS_DIR and shipped.is_file() else None


def parse_pack(text: str, file: str = "pack") -> Pack:
    """The pack written in `text`; `file` names it in problems. Raises PackError."""
    root = read_text(text, file)
    pack = _read_pack(root, text)
    if root.found.problems or pack is None:
        raise PackError(root.found.problems)
    return pack


def check(path_or_id: str | Path) -> list[Problem]:
    """All problems of a pack; an empty list means that it may be used."""
    try:
        load_pack(path_or_id)
    except PackError as error:
        return list(error.problems)
    return []


def _read_pack(root: Item, body: str) -> Pack | None:
    fields = root.fields(("pack", "version", "effective_from", "name", "scopes", "classes"), ("basis",))
    pack_id = fields.read("pack", Item.identifier, "")
    version = fields.read("version", lambda m: m.integer(1), 0)
    effective = fields.read("effective_from", _read_date, date.min)
    name = fields.read("name", sections.read_name, Name("", ""))
    basis = fields.read("basis", Item.text, "")
    scopes: dict[str, frozenset[str]] = fields.read("scopes", sections.read_scopes, {})
    classes: dict[str, ClassPolicy] = fields.read("classes", lambda m: _read_classes(m, frozenset(scopes)), {})
    return Pack(pack_id, version, effective, name, basis, scopes, classes, body) if pack_id and classes else None


def _read_date(item: Item) -> date | None:
    text = item.text()
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        item.fail(f"expected a date such as 2018-01-31, not {text!r}")
        return None


def _read_classes(item: Item, scopes: frozenset[str]) -> dict[str, ClassPolicy]:
    classes: dict[str, ClassPolicy] = {}
    for name, member in item.entries():
        if name not in CUSTOMER_CLASSES:
            member.fail(f"{name!r} is not one of {', '.join(CUSTOMER_CLASSES)}")
            continue
        policy = _read_class(member, name, scopes)
        if policy is not None:
            classes[name] = policy
    if not classes and item.is_mapping() and not item.found.problems:
        item.fail("must not be empty")
    return classes


def _read_class(item: Item, customer_class: str, scopes: frozenset[str]) -> ClassPolicy | None:
    fields = item.fields(("evaluation", "tiers", "queue"), ("vip_from", "alerts"))
    no_evaluation = Evaluation("", "", "", 0, "")
    evaluation = fields.read("evaluation", sections.read_evaluation, no_evaluation)
    tiers: tuple[Tier, ...] = fields.read("tiers", lambda m: sections.read_tiers(m, sections.Known(scopes)), ())
    known = sections.Known(scopes, tuple(t.id for t in tiers), frozenset(t.card for t in tiers if t.card))
    vip_from = fields.read("vip_from", lambda m: m.choice(known.tiers), "") or None
    queue = fields.read("queue", lambda m: sections.read_queue(m, known), Queue("", "", None, ()))
    queue_item = fields.get("queue")
    if queue_item is not None and queue.classes and tiers:
        sections.check_queue_covers(queue_item, queue, tiers)
    alerts: tuple[AlertRule, ...] = fields.read("alerts", lambda m: sections.read_alerts(m, known), ())
    return ClassPolicy(customer_class, evaluation, tiers, vip_from, queue, alerts) if tiers else None
