"""Read the Berka bank data into oracle tables, with SQL alone and none of the connector's code.

A customer is the OWNER of the account. PRIJEM is credit, VYDAJ and VYBER are debit. The file is cut in the middle of
its last date, so that date is dropped. All of it is CZK, and a date counts as the value date and the booking date.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tidegauge.demo.oracle import create_tables

if TYPE_CHECKING:
    import duckdb


def data_dir() -> Path:
    """Where the Berka files are: TIDEGAUGE_BERKA_DIR, or beside the repository."""
    named = os.environ.get("TIDEGAUGE_BERKA_DIR")
    return Path(named) if named else Path(__file__).parents[2].parent / "shared" / "data" / "berka"


def _lines(con: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    """One row per line, unquoted and split at `;`: the file is read as text, so a cut last line does no harm."""
    text = path.read_bytes().decode("latin-1").replace('"', "")
    con.register("lines", pa.table({"line": [line for line in text.splitlines()[1:] if line]}))
    con.execute(f"CREATE TEMP TABLE {table} AS SELECT string_split(line, ';') AS f FROM lines")
    con.unregister("lines")


def load(con: duckdb.DuckDBPyConnection, directory: Path | None = None, zone: str = "Asia/Shanghai") -> None:
    """Fill the oracle's tables. customer_id is `str(client_id)`, account_id is `str(account_id)`."""
    directory = directory or data_dir()
    create_tables(con, zone)
    _lines(con, "trans_raw", directory / "trans.asc")
    _lines(con, "disp_raw", directory / "disp.asc")
    con.execute("""
        CREATE TEMP TABLE owner AS
        SELECT f[3] AS account_id, f[2] AS customer_id FROM disp_raw WHERE f[4] = 'OWNER';
        CREATE TEMP TABLE trans AS
        SELECT f[1]::BIGINT AS trans_id, f[2] AS account_id, f[4] AS type,
               strptime('19' || f[3], '%Y%m%d')::DATE AS day, (f[6]::DECIMAL(18, 2) * 100)::BIGINT AS amount_minor
        FROM trans_raw
        WHERE len(f) = 10 AND f[3] < (SELECT max(f[3]) FROM trans_raw WHERE len(f) >= 3);
    """)
    (unknown,) = con.execute("SELECT count(*) FROM trans WHERE type NOT IN ('PRIJEM', 'VYDAJ', 'VYBER')").fetchone()
    assert unknown == 0, f"{unknown} rows of an unknown type"
    con.execute("""
        INSERT INTO raw_postings
        SELECT 'berka', row_number() OVER (PARTITION BY account_id ORDER BY day, trans_id), customer_id, account_id,
               'deposit_demand', 'CZK', CASE WHEN type = 'PRIJEM' THEN amount_minor ELSE -amount_minor END,
               day, day_start_ms(day + 1) - 1, false
        FROM trans JOIN owner USING (account_id)
    """)
