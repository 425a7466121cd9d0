"""Whatever reads a file has a bound for it: taken at the bound, refused with words a byte above, and no reader is without.

Readers go through `schemas.bounded`. Each place that does is a case here; each place that does not has its reason here.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from joserfc.jwk import RSAKey

from connectors.formats import berka, sources
from connectors.formats.canonical import data_files, read_file
from connectors.formats.events import InputError
from connectors.formats.manifest import manifest_of
from connectors.labelled.labels import LABEL_COLUMNS, read_labels
from connectors.loading.broadcast import read_calendar
from deploy.connections.database import role_password
from deploy.connections.wire import Certificates
from deploy.embedded.jars import LOCK_FILE, locked
from deploy.embedded.postgres import DatabaseServer
from deploy.embedded.processes import LOG_TAIL_BYTES, tail
from deploy.embedded.redis import Server
from deploy.errors import StackError
from deploy.record import read_record
from deploy.security.authority import SecureFolder, certificate_end
from deploy.settings import Settings
from deploy.sources import Secrets
from policies import PackError, load_pack
from policies.language.loader import PACKS_DIR, parse_pack
from schemas import bounds, registry
from schemas.bounded import TooLargeError, read_bounded
from schemas.confluent import ConfluentRegistry, RegistryAccess
from schemas.validation.columns import InputCheck
from services.access.issuer import Issuer
from services.assembly import webhook_trust
from services.database.migrations import migrations
from services.notices.bank_texts import bank_texts
from services.staff.lists import read_list
from tests.cli.invocation import call
from tests.cli.wrong_files import HEADER, posting
from tests.schemas.test_registry import self_signed
from tests.test_tidy import ROOT, parsed
from tidegauge.branch import files
from tidegauge.cli.access.kept import development_login, keep_development
from tidegauge.cli.commands.sender import command_lines
from tidegauge.cli.failures import line_for

ROOMS: Final = ("streams", "schemas", "policies", "agents", "services", "connectors", "deploy", "tidegauge")
BOUNDED: Final = frozenset(("open_bounded", "read_bounded", "check_size"))
# What gets bytes out of a file by itself. `open` is counted where it does not write.
RAW: Final = frozenset((
    "open", "read_text", "read_bytes", "fdopen", "mmap", "memmap", "fromfile", "loadtxt", "genfromtxt", "ParquetFile",
    "read_table", "read_csv", "read_json", "create_default_context", "load_verify_locations", "load_cert_chain",
))  # fmt: skip
ZONE: Final = "Asia/Shanghai"
FACTS: Final = registry.version_file("facts", registry.written_version("facts", registry.CONTRACTS[-1])).name
LINES_MAX: Final = 3

# Place -> why it needs no bound of its own.
EXEMPT: Final = {
    "connectors.formats.parquet_pages.pages": "of a file that parquet_rows has let in; a map of it is not in memory",
    "connectors.formats.parquet_rows._check_footer": "four bytes",
    "connectors.formats.parquet_rows.parquet_rows": "by check_size and the bounds of Parquet",
    "connectors.labelled.world.LabelledBank.days": "no file: a market",
    "connectors.simulate.bank.Bank._open": "no file: a market",
    "deploy.embedded.jars.sha256": "in pieces",
    "deploy.embedded.postgres._unpack": "of a jar whose SHA-256 is pinned",
    "deploy.embedded.processes.tail": "a bounded end of a log, below",
    "policies.language.loader.beginning": "of the package's own",
    "schemas.bounded._Counted.__init__": "the bound itself",
    "deploy.connections.diagnosis._of_plaintext": "no file: nobody's certificate is looked at",
    "deploy.connections.wire.Certificates.context": "by check_size",
    "schemas.answers.new_token": "authorities whose size ConfluentRegistry, or Certificates, has checked",
    "schemas.release.built": "a developer's command, on the files of the repository",
    "schemas.release.release": "a developer's command, on the files of the repository",
    "schemas.release.shared_types": "a developer's command, on the files of the repository",
    "services.assembly.webhook_trust": "by check_size",
    "services.access.issuer.Issuer.trust": "by check_size",
    "tidegauge.cli.access.kept._alone": "a lock: nothing is read",
    "services.access.audit.AuditFile.record": "it only appends",
    "streams.kernels.cache.sources_fingerprint": "the very sources that run",
    "tidegauge.cli.main.main": "no file: nowhere",
    "services.pages.site._of_package": "a file of an installed package",
    "services.pages.site.PageSite.__init__": "files of Tidegauge's own",
    "services.pages.words.Wording.__init__": "files of Tidegauge's own",
    "services.queue.tickets.store.TicketStore": "files of Tidegauge's own",
}


class Reader(NamedTuple):
    """A place that reads: the bound's name, the file's, how a good one is made, and what reads it."""

    place: str
    bound: str
    file: str
    make: Callable[[Path], object]
    use: Callable[[Path], Any]


def bank(path: Path, form: str) -> list[Any]:
    return list(read_file(path, form, ZONE))


def line() -> bytes:
    return json.dumps(posting(1, "2026-01-05")).encode() + b"\n"


def csv_file(path: Path) -> None:
    path.write_text(f"{HEADER}\ne1,core,1,C1,A1,savings,CNY,1,2026-01-05,2026-01-05T10:00:00Z,external,B1\n")


def parquet_file(path: Path) -> None:
    pq.write_table(pa.table({name: [value] for name, value in posting(1, "2026-01-05").items()}), path)


def berka_folder(path: Path) -> None:
    """`path` is the largest file of its folder."""
    rows = {
        "account.asc": '1;18;"POPLATEK MESICNE";930101', "card.asc": '1;1;"gold";981016 00:00:00',
        "client.asc": '1;"706213";18', "disp.asc": '1;1;1;"OWNER"',
        "trans.asc": '1;1;930101;"PRIJEM";"VKLAD";700;700;"";"";',
    }  # fmt: skip
    for name in berka.FILES:
        header = ";".join(f'"{cell}"' for cell in berka.HEADERS[name].split())
        (path.parent / name).write_text(f"{header}\n{rows[name]}\n" + "\n" * (100 if name == path.name else 0))


def manifest(path: Path) -> None:
    path.write_text(json.dumps({
        "full_list": True, "source": "s", "business_day": "2026-01-31", "cutoff_at": "2026-01-31", "rows": 0,
    }))  # fmt: skip


def pack(path: Path) -> None:
    path.write_bytes((PACKS_DIR / "abc-bands.yaml").read_bytes())


def cases(path: Path) -> None:
    path.write_text(
        'case_id,scheme_id,customer_class,facts,expected_tier,why\na,abc-bands,personal,"{""aum"": 1}",c,because\n'
    )


def labels(path: Path) -> None:
    path.write_text(f"{','.join(LABEL_COLUMNS)}\nC1,plain,,,,,quiet\n")


def authority(path: Path) -> None:
    self_signed(path.parent).rename(path)


def authority_of(path: Path) -> None:
    path.parent.mkdir()
    authority(path)


def server_of(path: Path) -> DatabaseServer:
    """A server whose folder is the one above that of `path`."""
    home = path.parents[1]
    return DatabaseServer(home, home, 1, home, None, secure=SecureFolder(home))


def staff_list(path: Path) -> None:
    path.write_text("unit,name,change\nhq,x,set\n")


def staff_manifest(path: Path) -> None:
    path.write_text('{"full_list": true, "list": "units", "as_of": "2026-01-31", "rows": 1}')
    path.with_name("list.csv").write_text("unit,name\nhq,x\n")


def key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("k" * 40)


def secret_of(path: Path) -> Any:
    return Secrets(Settings, {"TIDEGAUGE_KAFKA_PASSWORD_FILE": str(path)})()


def tickets_file(path: Path) -> None:
    path.write_text("ticket,arrives_at,class,service_seconds,changes\na,0,gold,1,\n")


def counters_file(path: Path) -> None:
    path.write_text("counter,opens_at,closes_at,classes\n1,0,60,\n")


def profile_file(path: Path) -> None:
    path.write_text("hour,class,arrivals,service_seconds\n0,gold,1.5,60\n")


def contract_file(path: Path) -> None:
    path.write_bytes((registry.VERSIONS / path.name).read_bytes())


def patched(name: str, use: Callable[[], Any]) -> Callable[[Path], Any]:
    """A reader of a file of its own, with another in its place."""

    def run(path: Path) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registry, name, path if name == "IDS" else path.parent)
            return use()

    return run


def command(*words: str) -> Callable[[Path], Any]:
    """A command on the file. What it says when it refuses is what it raises."""

    def run(path: Path) -> Any:
        done = call(*(word.replace("{}", str(path)) for word in words))
        if done.code:
            raise SaidError(done.code, done.err)
        return done.out

    return run


class SaidError(Exception):
    """Exit code and words of a command that refused."""


def keys(path: Path) -> Any:
    return Settings(data_dir=path.parent).secret()


READERS: Final = (
    Reader("connectors.formats.canonical._ndjson", "FILE_BYTES_MAX", "transactions.ndjson",
           lambda path: path.write_bytes(line()), lambda path: bank(path, "ndjson")),
    Reader("connectors.formats.canonical._csv", "FILE_BYTES_MAX", "transactions.csv", csv_file,
           lambda path: bank(path, "csv")),
    Reader("connectors.formats.parquet_rows.parquet_rows", "FILE_BYTES_MAX", "transactions.parquet", parquet_file,
           lambda path: bank(path, "parquet")),
    *(Reader("connectors.formats.berka._rows", "FILE_BYTES_MAX", name, berka_folder,
             lambda path: berka.read_folder(path.parent, ZONE)) for name in berka.FILES),
    Reader("connectors.formats.berka._cut_date", "FILE_BYTES_MAX", "trans.asc", berka_folder,
           lambda path: berka._cut_date(path) or "none"),
    Reader("connectors.formats.sources.import_fingerprint", "FILE_BYTES_MAX", "transactions.csv", csv_file,
           lambda path: sources.import_fingerprint("csv", path)),
    Reader("connectors.formats.manifest._read", "SMALL_FILE_BYTES_MAX", "balances.manifest.json", manifest,
           lambda path: manifest_of(path.with_name("balances.csv"), ZONE)),
    Reader("connectors.loading.broadcast.read_calendar", "SMALL_FILE_BYTES_MAX", "days.csv",
           lambda path: path.write_text("date,bank\n2026-10-01,closed\n"), lambda path: list(read_calendar(path))),
    Reader("deploy.embedded.jars.locked", "SMALL_FILE_BYTES_MAX", "jars.lock",
           lambda path: path.write_bytes(LOCK_FILE.read_bytes()), locked),
    Reader("deploy.embedded.redis.Server.password", "KEY_FILE_BYTES_MAX", "redis.password", key,
           lambda path: Server(path.parent, 1).password),
    Reader("deploy.connections.database.role_password", "KEY_FILE_BYTES_MAX", "database.password", key,
           lambda path: role_password(path.parent, "tidegauge")),
    Reader("deploy.embedded.postgres.DatabaseServer._configuration", "SMALL_FILE_BYTES_MAX", "secure/server.pem", authority_of,
           lambda path: server_of(path)._configuration()),
    Reader("deploy.embedded.postgres.DatabaseServer._forget_another", "SMALL_FILE_BYTES_MAX", "data/postmaster.pid",
           lambda path: (path.parent.mkdir(), path.write_text(f"1\n{path.parent}\n")),
           lambda path: server_of(path)._forget_another() or "known"),
    Reader("services.database.migrations.migrations", "SMALL_FILE_BYTES_MAX", "0001-a.sql",
           lambda path: path.write_text("SELECT 1\n"), lambda path: migrations(path.parent)),
    Reader("services.access.issuer.Issuer._keys_in", "SMALL_FILE_BYTES_MAX", "keys.json",
           lambda path: path.write_text(json.dumps({"keys": [RSAKey.generate_key(2048).as_dict(private=False)]})),
           lambda path: Issuer("https://127.0.0.1:1", keys_file=path)._keys_in(path)),
    Reader("services.access.issuer.Issuer.trust", "SMALL_FILE_BYTES_MAX", "ca.pem", authority,
           lambda path: Issuer("https://127.0.0.1:1", path).trust()),
    Reader("tidegauge.cli.access.kept._read", "LOGIN_FILE_BYTES_MAX", "login.json",
           lambda path: keep_development(Settings(data_dir=path.parent), "rm:hq", datetime.now(UTC)),
           lambda path: development_login(Settings(data_dir=path.parent))),
    Reader("services.staff.lists.read_list", "STAFF_FILE_BYTES_MAX", "list.csv", staff_list, read_list),
    Reader("services.staff.lists._manifest", "SMALL_FILE_BYTES_MAX", "list.manifest.json", staff_manifest,
           lambda path: read_list(path.with_name("list.csv"))),
    Reader("deploy.connections.wire.Certificates._check", "SMALL_FILE_BYTES_MAX", "ca.pem", authority,
           lambda path: Certificates("TIDEGAUGE_KAFKA", path).context()),
    Reader("deploy.security.authority.SecureFolder.password", "KEY_FILE_BYTES_MAX", "secure/passwords/views", key,
           lambda path: SecureFolder(path.parents[2]).password("views")),
    Reader("deploy.security.authority._read", "SMALL_FILE_BYTES_MAX", "server.pem", authority, certificate_end),
    Reader("deploy.sources._of_file", "KEY_FILE_BYTES_MAX", "password", key, secret_of),
    Reader("deploy.record.read_record", "SMALL_FILE_BYTES_MAX", "stack.json",
           lambda path: path.write_text(json.dumps({"redis_url": "redis://h/0", "processes": []})),
           lambda path: read_record(path.parent)),
    Reader("deploy.settings._key_of", "KEY_FILE_BYTES_MAX", "reference.key", key, keys),
    Reader("deploy.settings._key_of", "KEY_FILE_BYTES_MAX", "alert.key", key,
           lambda path: Settings(data_dir=path.parent).alert_secret()),
    Reader("policies.language.loader.load_pack", "PACK_BYTES_MAX", "a.yaml", pack, load_pack),
    Reader("policies.language.loader.load_pack", "PACK_BYTES_MAX", "b.yaml", pack, command("policy", "check", "{}")),
    Reader("connectors.labelled.labels.read_labels", "LABELS_BYTES_MAX", "labels.csv", labels, read_labels),
    Reader("schemas.confluent.ConfluentRegistry.__init__", "SMALL_FILE_BYTES_MAX", "ca.pem", authority,
           lambda path: ConfluentRegistry(RegistryAccess("https://127.0.0.1:1", ca=path))),
    Reader("schemas.registry._own", "SMALL_FILE_BYTES_MAX", FACTS, contract_file,
           patched("VERSIONS", lambda: registry.contract("facts"))),
    Reader("schemas.registry._own", "SMALL_FILE_BYTES_MAX", "ids.json",
           lambda path: path.write_bytes(registry.IDS.read_bytes()), patched("IDS", registry.released.__wrapped__)),
    Reader("services.notices.bank_texts.bank_texts", "PACK_BYTES_MAX", "own.yaml",
           lambda path: path.write_text("en: {clear_subject: done}"), bank_texts),
    Reader("services.assembly.webhook_trust", "SMALL_FILE_BYTES_MAX", "ca.pem", authority,
           lambda path: webhook_trust(Settings(webhook_ca=path))),
    Reader("tidegauge.branch.files._rows", "HALL_FILE_BYTES_MAX", "tickets.csv", tickets_file,
           lambda path: files.read_tickets(path, ["gold"])),
    Reader("tidegauge.branch.files._rows", "HALL_FILE_BYTES_MAX", "counters.csv", counters_file,
           lambda path: files.read_counters(path, ["gold"])),
    Reader("tidegauge.branch.files._rows", "HALL_FILE_BYTES_MAX", "profile.csv", profile_file,
           lambda path: files.read_profile(path, ["gold"])),
    Reader("tidegauge.cli.policy.command.decide_", "SMALL_FILE_BYTES_MAX", "facts.json",
           lambda path: path.write_text('{"aum": 500000}'),
           command("policy", "decide", "--pack", "abc-bands", "--facts", "@{}")),
    Reader("tidegauge.cli.commands.sender.command_lines", "COMMANDS_FILE_BYTES_MAX", "commands.ndjson",
           lambda path: path.write_text('{"command": "note"}'), command_lines),
    Reader("tidegauge.cli.policy.command.cases", "TABLE_BYTES_MAX", "cases.csv", cases, command("policy", "cases", "{}")),
)  # fmt: skip


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: f"{reader.place}-{reader.file}")
def test_file_has_a_bound(reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its bound a file is taken; a byte above it is refused with file, limit, size and what to do, in three lines."""
    path = tmp_path / reader.file
    reader.make(path)
    size = path.stat().st_size
    monkeypatch.setattr(bounds, reader.bound, size)
    assert reader.use(path), "taken at the bound"
    monkeypatch.setattr(bounds, reader.bound, size - 1)
    with pytest.raises((TooLargeError, InputError, PackError, StackError, SaidError)) as caught:
        reader.use(path)
    code, text = said(caught.value)
    assert code in (1, 2) and (code == 2 or "policy" in text or "b.yaml" in text)
    assert 1 < len(text.splitlines()) + ("b.yaml" in text) <= LINES_MAX, text
    for word in (reader.file, f"{size:,} bytes", f"{size - 1:,}"):
        assert word in text


def said(problem: Exception) -> tuple[int, str]:
    """Exit code and lines that a command makes of a refusal."""
    if isinstance(problem, SaidError):
        return problem.args
    told = line_for(problem)
    assert told is not None
    return told.code, f"{told}\n{told.hint}"


@pytest.mark.parametrize("most", [0, 1, 9, 70_000])
def test_what_has_no_size_ends_at_the_bound(most: int, tmp_path: Path) -> None:
    """A pipe is read up to its bound, and no further."""
    pipe = tmp_path / "pipe"
    for size in (most, most + 1):
        os.mkfifo(pipe)
        writer = subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'wb').write(b'x' * {size})"], stderr=-3)
        try:
            if size == most:
                assert len(read_bounded(pipe, most)) == size
            else:
                with pytest.raises(TooLargeError, match=f"more than {most:,} bytes"):
                    read_bounded(pipe, most)
        finally:
            writer.wait(240)
            pipe.unlink()


def test_events_in_memory_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import holds so many events, of all its files together; with one more it says so before they fill the memory."""
    monkeypatch.setattr(bounds, "EVENTS_MAX", 3)
    for name, first in (("a", 1), ("b", 3)):
        lines = [json.dumps(posting(first + n, "2026-01-05")) for n in range(2)]
        (tmp_path / f"transactions-{name}.ndjson").write_text("\n".join(lines[: 1 + (name == "a")]))
    assert len(sources.read_source("ndjson", tmp_path, ZONE)) == 3
    with (tmp_path / "transactions-b.ndjson").open("a") as more:
        more.write("\n" + json.dumps(posting(4, "2026-01-05")))
    with pytest.raises(InputError, match=r"more than 3 events.*split it") as caught:
        sources.read_source("ndjson", tmp_path, ZONE)
    assert said(caught.value)[0] == 2
    monkeypatch.setattr(bounds, "EVENTS_MAX", 1)
    berka_folder(tmp_path / "trans.asc")
    with pytest.raises(InputError, match="more than 1 events"):
        sources.read_source("berka", tmp_path, ZONE)


def test_files_of_a_folder_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file of a folder is opened, some of them twice: there are so many and no more."""
    monkeypatch.setattr(bounds, "FILES_MAX", 2)
    for name in "ab":
        (tmp_path / f"facts-{name}.csv").touch()
    assert len(data_files(tmp_path, "csv")) == 2
    (tmp_path / "facts-c.csv").touch()
    with pytest.raises(InputError, match="3 files, at most 2"):
        data_files(tmp_path, "csv")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_columns_have_a_bound(form: str, tmp_path: Path) -> None:
    """A file of half a million columns is refused by their number, not by the first of their names."""
    path, names = tmp_path / f"facts.{form}", [f"c{n}" for n in range(bounds.COLUMNS_MAX + 1)]
    if form == "csv":
        path.write_text(",".join(names) + "\n")
    else:
        pq.write_table(pa.table({name: [1] for name in names}), path)
    with pytest.raises(InputError, match=f"{len(names)} columns, at most {bounds.COLUMNS_MAX}"):
        bank(path, form)


def test_footer_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a Parquet file says of itself is read whole, so it is measured before."""
    path = tmp_path / "transactions.parquet"
    parquet_file(path)
    footer = pq.read_metadata(path).serialized_size
    monkeypatch.setattr(bounds, "FOOTER_BYTES_MAX", footer)
    assert bank(path, "parquet")
    monkeypatch.setattr(bounds, "FOOTER_BYTES_MAX", footer - 1)
    with pytest.raises(InputError, match=f"footer of {footer:,} bytes"):
        bank(path, "parquet")


def test_a_log_is_not_read_whole(tmp_path: Path) -> None:
    """Of a server's log its end is shown, however long it is."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, 2)
        file.write(b"x" * 2 * LOG_TAIL_BYTES + b"\nthe end\n")
    assert tail(log).endswith("\n    the end") and len(tail(log)) < 2 * LOG_TAIL_BYTES


def test_a_pack_is_as_long_in_a_file_as_on_its_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bound: what a file of events lets in is what the policies take, and what leaves with `activate`."""
    good = load_pack("abc-bands").body
    monkeypatch.setattr(bounds, "PACK_BYTES_MAX", len(good.encode()))
    check, record = InputCheck("policies", "UTC"), {"pack_id": "p", "version": 2, "effective_from": 20_000}
    rest = {"customer_class": "personal", "retracted": False}
    assert check.verdicts([{**record, **rest, "body": good}]) == [None]
    assert parse_pack(good).body == good
    longer = good + "#"
    assert check.verdicts([{**record, **rest, "body": longer}]) == [("body", "text too long")]
    with pytest.raises(PackError, match=f"{len(good.encode()):,}"):
        parse_pack(longer)


@pytest.mark.parametrize(
    "facts",
    [
        '{"aum": 1e999999999}',
        '{"aum": 1e-99999999}',
        '{"aum": 1e99999999999999999999}',
        '{"aum": ' + "1" * 50_000 + "}",
        '{"aum": ' + "[" * 50_000,
        "[" * 50_000,
    ],
)
def test_a_short_fact_stands_for_little(facts: str, tmp_path: Path) -> None:
    """A number of ten signs may have a gigabyte of digits: it is refused, alone and in a table whose other rows are decided."""
    path = tmp_path / "facts.json"
    path.write_text(facts)
    done = call("policy", "decide", "--pack", "abc-bands", "--facts", f"@{path}")
    assert (done.code, len(done.err.splitlines()) <= LINES_MAX, len(done.err) < 400) == (2, True, True)
    cases(path)
    quoted = facts.replace('"', '""')
    with path.open("a") as more:
        more.write(f'b,abc-bands,personal,"{quoted}",none,because\nshort\n')
    done = call("policy", "cases", str(path), "--json")
    assert [case["problem"] is None for case in json.loads(done.out)["cases"]] == [True, False, False]


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """(place, name of what is called) of every call that reads a file; a place is MODULE.FUNCTION."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)

    def inside(node: ast.AST, place: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if isinstance(child, ast.Call) and (name := called(child)) in RAW | BOUNDED and not writes(child):
                yield place, name
            yield from inside(child, f"{place}.{child.name}" if named else place)

    yield from inside(parsed(path), module)


def called(call: ast.Call) -> str:
    """A name of its own, such as the codec's `read_bytes`, is no method of a path."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    name = getattr(call.func, "id", "")
    return "" if name.startswith("read_") and name not in BOUNDED else name


def writes(call: ast.Call) -> bool:
    """True for an `open` whose mode says so, and for what is called so and opens no file."""
    modes = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and str(mode.value)[:1] in tuple("wax") for mode in modes)


def test_no_reader_is_without_a_bound() -> None:
    """Whatever opens a file for reading goes through `schemas.bounded` and has a case above, or a reason."""
    found = {(place, name) for room in ROOMS for path in (ROOT / room).rglob("*.py") for place, name in calls(path)}
    cases = {reader.place for reader in READERS}
    inside = {place for place, name in found if place.startswith("schemas.bounded.") and name in BOUNDED}
    assert {place for place, name in found if name in BOUNDED} - inside == cases
    assert {place for place, name in found if name in RAW} == set(EXEMPT)
