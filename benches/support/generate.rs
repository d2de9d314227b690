//! Rows of half a year, made by the engine itself with `INSERT … SELECT`.
//!
//! Rows are numbered in the order of time; every hundredth resolution was caused by a jump and
//! carries its flow. Per ten million resolutions there are a million domains, 200,000 clients and
//! 100,000 links, some far busier than others: ten times the traffic comes from ten times as many,
//! so that a question finds as many records among ten times the rows.

use tracegate::record::{LaneId, SchemaId, Table};

/// Resolutions for each domain of the population.
const PER_DOMAIN: u64 = 10;
/// Resolutions for each client.
const PER_CLIENT: u64 = 50;
/// Resolutions for each link.
const PER_CODE: u64 = 100;
/// Addresses for each domain: two rarely share one.
const ADDRESSES: u64 = 60;
/// Seconds between two words of the node on its completeness.
const NODE_INTERVAL_S: u64 = 10;
/// The first instant, in seconds since the epoch: 2026-05-01.
const START_S: u64 = 1_777_593_600;
/// Days covered.
const DAYS: u64 = 184;
/// Resolutions per jump.
pub(crate) const PER_JUMP: u64 = 100;
/// Rows of a generated frame: what a node at this rate closes in a few seconds to minutes.
const FRAME_ROWS: u64 = 1_000;

/// The lane of every generated row of `table`.
pub(crate) const fn lane(table: Table) -> u64 {
    LaneId::new(START_S, 0, table).0
}

/// Half a year of `total` resolutions.
#[derive(Clone, Copy)]
pub(crate) struct HalfYear {
    /// Resolutions in it; a hundredth as many jumps.
    pub(crate) total: u64,
}

impl HalfYear {
    /// Statements that insert the resolutions numbered `from..from + rows`, their jumps, and the
    /// frames of both, each one INSERT as a shipper sends it.
    pub(crate) fn block(self, from: u64, rows: u64) -> Vec<String> {
        let (first, jumps) = (from / PER_JUMP, rows / PER_JUMP);
        vec![
            self.resolutions(from, rows),
            self.jumps(first, jumps),
            self.frames(Table::Resolutions, from, rows, FRAME_ROWS, 1),
            self.frames(Table::Jumps, first, jumps, FRAME_ROWS / PER_JUMP, PER_JUMP),
        ]
    }

    /// Microseconds from one resolution to the next.
    const fn step_us(self) -> u64 {
        DAYS * 86_400 * 1_000_000 / self.total
    }

    fn ts(self, number: &str) -> String {
        let step = self.step_us();
        format!("fromUnixTimestamp64Micro(toInt64({START_S}000000 + {step} * ({number})))")
    }

    const fn domains(self) -> u64 {
        self.total.div_ceil(PER_DOMAIN)
    }

    const fn codes(self) -> u64 {
        self.total.div_ceil(PER_CODE)
    }

    /// What the jump numbered `number` was: its code, its target's domain, its client.
    fn jump(self, number: &str) -> String {
        format!(
            "cityHash64({number}, 3) AS j1, cityHash64({number}, 4) AS j2, \
             {k} AS k, cityHash64(k) % {domains} AS jump_domain, {c} AS jump_client",
            k = skewed("j1", self.codes(), 2),
            domains = self.domains(),
            c = self.client("j2"),
        )
    }

    /// The number of a client.
    fn client(self, hash: &str) -> String {
        skewed(hash, self.total.div_ceil(PER_CLIENT), 2)
    }

    /// The address of domain number `d`: nearly always its own, sometimes shared.
    fn address(self, d: &str) -> String {
        let addresses = self.domains() * ADDRESSES;
        mapped(&format!("3221225472 + cityHash64({d}) % {addresses}"))
    }

    fn resolutions(self, from: u64, rows: u64) -> String {
        let columns = columns(Table::Resolutions);
        let (lane, jump_lane) = (lane(Table::Resolutions), lane(Table::Jumps));
        let ts = self.ts("number");
        let jump = self.jump("intDiv(number, 100)");
        format!(
            "INSERT INTO resolutions ({columns}) SELECT {columns} FROM (\
             WITH number % {PER_JUMP} = {PER_JUMP} - 1 AS caused, {jump}, \
               cityHash64(number, 1) AS h1, cityHash64(number, 2) AS h2, \
               if(caused, jump_domain, {domain}) AS d, if(caused, jump_client, {any_client}) AS c, \
               concat('d', toString(d), '.example') AS domain, \
               {address} AS a \
             SELECT 'bench' AS node, toUInt64({lane}) AS lane, number AS seq, {ts} AS ts, \
               {client} AS client, toUInt16(1024 + h2 % 64000) AS client_port, '' AS client_key, \
               toIPv6('::ffff:10.255.0.53') AS server_address, 53 AS server_port, 'udp' AS transport, \
               toUInt32(0x8180 + if(h1 % 3 = 0, 65536, 0)) AS flags, toUInt32(20 + h2 % 400) AS latency_us, \
               toUInt32(300 - number % 300) AS min_ttl, if(h1 % 10 = 0, 'miss', 'hit') AS cache, \
               if(caused, bitShiftLeft(toUInt128({jump_lane}), 64) + intDiv(number, 100), toUInt128(0)) AS flow, \
               domain AS registrable_domain, \
               concat(if(caused, 'www', ['www', 'mail', 'api', 'cdn'][1 + h1 % 4]), '.', domain) AS qname, \
               if(h2 % 5 = 0, 28, 1) AS qtype, 1 AS qclass, if(h1 % 17 = 0, 3, 0) AS rcode, \
               CAST([], 'Array(UInt16)') AS ede, if(h1 % 17 = 0, [], [a]) AS answers, \
               if(h1 % 4 = 3, [concat('edge.', domain)], []) AS answer_names, \
               CAST([], '{rrs}') AS answer_data, CAST([], '{rrs}') AS original_answers, \
               if(h1 % 10 = 0, 'udp://192.0.2.53:53', '') AS upstream, \
               'not_evaluated' AS dnssec, '' AS action, '' AS rule, '' AS feed, '' AS feed_version, \
               '2026-10-01' AS psl_version \
             FROM numbers({from}, {rows}))",
            domain = skewed("h1", self.domains(), 3),
            any_client = self.client("h2"),
            address = self.address("d"),
            client = client("c"),
            rrs = "Array(Tuple(owner String, type UInt16, ttl UInt32, rdata String))",
        )
    }

    fn jumps(self, from: u64, rows: u64) -> String {
        let columns = columns(Table::Jumps);
        let lane = lane(Table::Jumps);
        // A moment after the resolution that it caused.
        let ts = self.ts("number * 100 + 99.01");
        format!(
            "INSERT INTO jumps ({columns}) SELECT {columns} FROM (\
             WITH {jump}, concat('d', toString(jump_domain), '.example') AS domain \
             SELECT 'bench' AS node, toUInt64({lane}) AS lane, number AS seq, {ts} AS ts, \
               {client} AS client, toUInt16(1024 + j2 % 64000) AS client_port, '' AS client_key, \
               toIPv6('::ffff:10.255.0.80') AS server_address, 443 AS server_port, 'GET' AS method, \
               'l.example' AS host, concat('/k', toString(k)) AS path, concat('k', toString(k)) AS code, \
               1 AS revision, concat('https://www.', domain, '/', toString(k)) AS target, \
               concat('www.', domain) AS target_host, domain AS target_registrable_domain, \
               [{address}] AS target_addresses, 302 AS status, 'jumped' AS outcome, 0 AS hop, \
               '' AS tier, '' AS action, '' AS rule, '' AS feed, '' AS feed_version, \
               'not_evaluated' AS verification, 'ref.example' AS referrer_host, \
               concat('Mozilla/5.0 (', toString(j2 % 5000), ')') AS user_agent, \
               toUInt32(100 + j2 % 900) AS latency_us, '2026-10-01' AS psl_version, \
               bitShiftLeft(toUInt128({lane}), 64) + number AS flow \
             FROM numbers({from}, {rows}))",
            jump = self.jump("number"),
            client = client("jump_client"),
            address = self.address("jump_domain"),
        )
    }

    /// Every link of the population, created at the first instant.
    pub(crate) fn conversions(self) -> String {
        let columns = columns(Table::Conversions);
        let lane = lane(Table::Conversions);
        format!(
            "INSERT INTO conversions ({columns}) SELECT {columns} FROM (\
             WITH cityHash64(number) % {domains} AS d, concat('d', toString(d), '.example') AS domain \
             SELECT 'bench' AS node, toUInt64({lane}) AS lane, number AS seq, {ts} AS ts, \
               concat('k', toString(number)) AS code, 1 AS revision, 'create' AS operation, \
               concat('https://www.', domain, '/', toString(number)) AS target_submitted, \
               target_submitted AS target, concat('www.', domain) AS target_host, \
               domain AS target_registrable_domain, 'writer' AS actor, 'owner' AS owner, \
               '' AS reason, toIPv6('::ffff:10.0.0.1') AS client, 40000 AS client_port, \
               '' AS client_key, fromUnixTimestamp64Micro(toInt64(0)) AS expires, \
               'not_evaluated' AS verification, '2026-10-01' AS psl_version, toUInt128(0) AS flow \
             FROM numbers({codes}))",
            ts = self.ts("0"),
            domains = self.domains(),
            codes = self.codes(),
        )
    }

    /// Half a year of the node's words on its completeness.
    pub(crate) fn nodes(self) -> String {
        let lane = lane(Table::Nodes);
        format!(
            "INSERT INTO nodes (node, lane, seq, ts, complete_through, version, boot_id, \
             oldest_unshipped, unshipped_rows) \
             SELECT 'bench', toUInt64({lane}), number, \
               fromUnixTimestamp64Micro(toInt64(({START_S} + number * {NODE_INTERVAL_S}) * 1000000)) AS at, \
               at - 1, '0.1.0', 'boot', at - 2, 1000 \
             FROM numbers({})",
            DAYS * 86_400 / NODE_INTERVAL_S
        )
    }

    /// The frames of the rows `from..from + rows` of `table`, `each` rows long; a row of it lies
    /// `stride` resolutions after the one before.
    fn frames(self, table: Table, from: u64, rows: u64, each: u64, stride: u64) -> String {
        let (lane, frame_lane, number) = (lane(Table::Frames), lane(table), table as u8);
        let (min, max) = (
            self.ts(&format!("first_seq * {stride}")),
            self.ts(&format!("(first_seq + {each}) * {stride}")),
        );
        format!(
            "INSERT INTO frames (node, lane, seq, ts, stream, frame_lane, first_seq, count, min_ts, \
             max_ts, schema, bytes, root, previous, key_id) \
             WITH number * {each} AS first_seq \
             SELECT 'bench', toUInt64({lane} + {number} * 256), number, {max}, '{table}', \
               toUInt64({frame_lane}), first_seq, {each}, {min}, {max}, {schema}, {each} * 200, \
               repeat('\\0', 32), repeat('\\0', 32), '' \
             FROM numbers({first}, {frames})",
            schema = SchemaId::newest(table).0,
            first = from / each,
            frames = rows.div_ceil(each),
        )
    }
}

fn columns(table: Table) -> String {
    SchemaId::newest(table).column_list().expect("a known schema")
}

/// A number below `below`, the lower the likelier by this power.
fn skewed(hash: &str, below: u64, power: u32) -> String {
    format!("toUInt64({below} * pow(({hash} % 1000000007) / 1000000007., {power}))")
}

fn client(c: &str) -> String {
    mapped(&format!("167772160 + {c}"))
}

fn mapped(v4: &str) -> String {
    format!("toIPv6(concat('::ffff:', IPv4NumToString(toUInt32({v4}))))")
}
