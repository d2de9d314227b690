"""What people do with clickhouse-connect, against the port and secrets given."""

import datetime
import ipaddress
import os
import sys

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

port = int(sys.argv[1])
secrets = {role: os.environ[f"TRACEGATE_TEST_{role.upper()}"] for role in ("internal", "reader")}


def connect(role, **more):
    return clickhouse_connect.get_client(
        host="127.0.0.1", port=port, username="default", password=secrets[role], **more
    )


for compress in (True, False, "lz4"):
    client = connect("internal", compress=compress)
    client.command("DROP TABLE IF EXISTS t")
    client.command(
        "CREATE TABLE t (id UInt64, name String, address IPv6, ts DateTime64(6, 'UTC'),"
        " tags Array(String), kind LowCardinality(String)) ENGINE = MergeTree ORDER BY id"
    )
    # The client hands out times in UTC without a zone.
    now = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)
    rows = [
        [i, f"n{i}\0;'", ipaddress.IPv6Address(i), now, ["a", str(i)], f"k{i % 3}"]
        for i in range(30_000)
    ]
    client.insert("t", rows, column_names=["id", "name", "address", "ts", "tags", "kind"])
    assert client.query("SELECT count() FROM t").result_rows == [(30_000,)]
    read = client.query("SELECT * FROM t ORDER BY id").result_rows
    assert len(read) == 30_000 and list(read[7]) == rows[7], read[7]
    asked = client.query(
        "SELECT id FROM t WHERE name = {name:String} AND id > {min:UInt64}",
        parameters={"name": rows[9][1], "min": 3},
        settings={"max_block_size": 1000},
    )
    assert asked.result_rows == [(9,)], asked.result_rows
    with client.query_row_block_stream("SELECT number FROM numbers(300000)") as stream:
        assert sum(len(block) for block in stream) == 300_000
    try:
        client.query("SELECT * FROM nowhere")
        raise AssertionError("no error")
    except DatabaseError as error:
        assert "UNKNOWN_TABLE" in str(error), error
    client.close()

reader = connect("reader")
assert reader.query("SELECT count() FROM t").result_rows == [(30_000,)]
try:
    reader.command("DROP TABLE t")
    raise AssertionError("a reader dropped a table")
except DatabaseError as error:
    assert "164" in str(error), error
