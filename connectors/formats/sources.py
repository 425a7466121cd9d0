"""A bank's files as one list of events in booking order, whatever their format."""

from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Final

from connectors.formats import berka, canonical
from connectors.formats.events import SPLIT, Event, InputError, Record, Report, held, refuse
from connectors.formats.manifest import manifest_of, manifest_path, zero_snapshots
from connectors.formats.ranks import number_postings
from connectors.loading.arrival import in_order
from schemas import bounds
from schemas.bounded import open_bounded

FORMATS: Final = ("berka", *canonical.FILE_SUFFIXES)
CHUNK_BYTES: Final = 1 << 20


def read_source(form: str, path: Path, zone: str, report: Report = refuse) -> list[Event]:
    """All events under a path in the order of arrival and booking. Held in memory, up to EVENTS_MAX: some 1.3 KB an event.

    Bad lines go to `report`. InputError when the path as a whole is no such source, TooLargeError for a file beyond bounds.
    """
    if form not in FORMATS:
        raise InputError(str(path), 0, "format", f"{form!r} is none of {', '.join(FORMATS)}")
    if not path.exists():
        raise InputError(str(path), 0, None, "is not there")
    return in_order(berka.read_folder(path, zone, report) if form == "berka" else _canonical(form, path, zone, report))


def _canonical(form: str, path: Path, zone: str, report: Report) -> list[Event]:
    events: list[Event] = []
    manifests = {file: manifest_of(file, zone) for file in canonical.data_files(path, form)}
    known: defaultdict[str, dict[str, Record]] = defaultdict(dict)
    for file, manifest in sorted(manifests.items(), key=lambda item: item[1].business_day if item[1] else 0):
        counted = _Counted(report)
        found = list(held(canonical.read_file(file, form, zone, counted), path, len(events)))
        events += found
        if manifest is None:
            continue
        if manifest.previous is not None and not known[manifest.source]:
            before = file.with_name(Path(manifest.previous).name)
            known[manifest.source] = {
                event.record["account_id"]: event.record
                for event in held(canonical.read_file(before, form, zone, report), path, len(events))
            }
        zeros = zero_snapshots(file, manifest, found, counted.bad, known[manifest.source], report)
        events += held(zeros, path, len(events))
    return number_postings(events, str(path), report)


class _Counted:
    """A Report that counts what it passes on."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.bad = 0

    def __call__(self, problem: InputError) -> None:
        self.bad += 1
        self.report(problem)


def import_fingerprint(form: str, path: Path, *options: object) -> str:
    """What an import is recognised by when it is run again: its files' contents, and the options that shape events."""
    digest = sha256(repr((form, options)).encode())
    for file in _data_files(form, path):
        digest.update(f"\n{file.name}\n".encode())
        with open_bounded(file, bounds.FILE_BYTES_MAX, SPLIT) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def _data_files(form: str, path: Path) -> list[Path]:
    if form == "berka":
        return berka.folder_files(path)
    found = canonical.data_files(path, form)
    return found + [manifest for manifest in map(manifest_path, found) if manifest.exists()]
