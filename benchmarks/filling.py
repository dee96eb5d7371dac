"""Large registries in minutes: the rows of `file_registry`, made by SQLite itself.

What is registered through our API, or by plain SQL from Python, is measured elsewhere: this is only
how ten million files come to be there before. Nothing is synced until the end.
"""

import sqlite3
from pathlib import Path

STEP = 200_000
_NAME = (
    "CASE WHEN {n} % 5 = 4 THEN printf('DpdVisRawFrame__EUC_VIS_RAW_%09d.xml', {n}) "
    "ELSE printf('EUC_VIS_RAW-%09d_20231022T091500.%03dZ_02.00.fits', {n}, {n} % 1000) END"
)
NAME = _NAME.format(n="n")
PATH = f"printf('raw/%06d/', n / 10000) || {NAME}"
ADLER, XXH3 = "printf('%08x', n)", "printf('%032x', n)"
PRODUCT = "printf('EUC_%09d', n)"
RELEASE = "'DR' || (n / 5 % 20)"
TYPE, TILE = "'DpdVisRawFrame'", "'Data.TileIndex'"
HEADER = f"json_object('DataSetRelease', {RELEASE}, 'ProdSDC', 'SDC-CH')"
SUMS = f"json_object('adler32', {ADLER}, 'xxh3', {XXH3})"
EACH = "FROM numbers"
FIFTH = "FROM numbers WHERE n % 5 = 4"
NAMED = "FROM numbers JOIN (VALUES (0), (1), (2), (3)) WHERE n % 5 = 4"
OURS = (
    f"INSERT INTO files SELECT n + 1, {NAME}, 1000000 + n, 'committed', 1 {EACH}",
    f"INSERT INTO file_checksums SELECT n + 1, {SUMS}, '[]' {EACH}",
    f"INSERT INTO replicas SELECT n + 1, 1, {PATH}, 'available', 0, NULL, 0, 1 {EACH}",
    f"INSERT INTO products SELECT n, {PRODUCT}, {TYPE}, '', {RELEASE}, {HEADER}, n + 1, 1 {FIFTH}",
    f"INSERT INTO product_values SELECT n, {TILE}, 0, n / 5 % 5000, n / 5 % 5000 {FIFTH}",
    f"INSERT INTO product_files SELECT n, column1, n - 3 + column1, '', '', '' {NAMED}",
)
RULED = (f"INSERT INTO rule_targets SELECT 1, n + 1, 1, 'ok', '' {EACH}",)
"""Beside `OURS`: the targets of the first rule, which wants all files where they are."""
PLAIN = (
    f"INSERT INTO p_files SELECT n, {NAME}, 1000000 + n, 'committed' {EACH}",
    f"INSERT INTO p_sums SELECT n, {SUMS}, '[]' {EACH}",
    f"INSERT INTO p_replicas SELECT n, 1, {PATH}, 'available' {EACH}",
    f"INSERT INTO p_products SELECT n, {PRODUCT}, {TYPE}, {RELEASE}, {HEADER} {FIFTH}",
    f"INSERT INTO p_values SELECT n, {TILE}, n / 5 % 5000, n / 5 % 5000 {FIFTH}",
    f"INSERT INTO p_named SELECT n, column1, n - 4 + column1 {NAMED}",
)


def fill(path: Path, files: int, statements: tuple[str, ...]) -> None:
    """Put so many files, and the products among them, into tables that are there and empty."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -262144")
    connection.execute("CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY)")
    for first in range(0, files, STEP):
        last = min(first + STEP, files) - 1
        connection.execute("BEGIN")
        connection.execute("DELETE FROM numbers")
        connection.execute(
            "WITH RECURSIVE up(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM up WHERE n < ?) "
            "INSERT INTO numbers SELECT n FROM up",
            (first, last),
        )
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
