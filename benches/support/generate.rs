//! Made-up records in ClickHouse's own SQL: a resolver's traffic over 184 days, and one jump for
//! every hundred resolutions.
//!
//! Domains are Zipf-like over a million, clients over 200,000; rows arrive in the order of time,
//! as from a shipper, in blocks of `BLOCK` rows.

/// Domains in the population.
pub(crate) const DOMAINS: u64 = 1_000_000;
/// Clients in the population.
pub(crate) const CLIENTS: u64 = 200_000;
/// Codes in the population.
pub(crate) const CODES: u64 = 100_000;
/// The first instant, in seconds since the epoch: 2026-05-01.
pub(crate) const START_S: u64 = 1_777_593_600;
/// Days covered.
pub(crate) const DAYS: u64 = 184;
/// The lane of every generated resolution and jump: start ‖ worker ‖ table.
pub(crate) const fn lane(table: u64) -> u64 {
    (START_S << 24) | table
}

/// `INSERT` of the resolutions numbered `from..from + rows` out of `total`.
pub(crate) fn resolutions(columns: &str, from: u64, rows: u64, total: u64) -> String {
    let span_us = DAYS * 86_400 * 1_000_000;
    let lane = lane(1);
    format!(
        "INSERT INTO resolutions ({columns}) \
         WITH cityHash64(number, 1) AS h1, cityHash64(number, 2) AS h2, \
           toUInt64({DOMAINS} * pow((h1 % 1000003) / 1000003., 3)) AS d, \
           toUInt64({CLIENTS} * pow((h2 % 999983) / 999983., 2)) AS c, \
           concat('d', toString(d), '.example') AS domain, \
           concat(['www', 'mail', 'api', 'cdn'][1 + h1 % 4], '.', domain) AS name, \
           toIPv6(concat('::ffff:', IPv4NumToString(toUInt32(3221225472 + cityHash64(d) % 60000000)))) AS a \
         SELECT 'bench' AS node, toUInt64({lane}) AS lane, number AS seq, \
           fromUnixTimestamp64Micro(toInt64({START_S}000000 + intDiv({span_us} * toUInt128(number), {total}))) AS ts, \
           toIPv6(concat('::ffff:', IPv4NumToString(toUInt32(167772160 + c)))) AS client, \
           toUInt16(1024 + h2 % 64000) AS client_port, '' AS client_key, \
           toIPv6('::ffff:10.255.0.53') AS server_address, 53 AS server_port, 'udp' AS transport, \
           toUInt32(0x8180 + if(h1 % 3 = 0, 65536, 0)) AS flags, toUInt32(20 + h2 % 400) AS latency_us, \
           toUInt32(300 - number % 300) AS min_ttl, if(h1 % 10 = 0, 'miss', 'hit') AS cache, toUInt128(0) AS flow, \
           domain AS registrable_domain, name AS qname, if(h2 % 5 = 0, 28, 1) AS qtype, 1 AS qclass, \
           if(h1 % 17 = 0, 3, 0) AS rcode, [] AS ede, if(h1 % 17 = 0, [], [a]) AS answers, \
           if(h1 % 4 = 3, [concat('edge.', domain)], []) AS answer_names, [] AS answer_data, \
           [] AS original_answers, if(h1 % 10 = 0, 'udp://192.0.2.53:53', '') AS upstream, \
           'not_evaluated' AS dnssec, '' AS action, '' AS rule, '' AS feed, '' AS feed_version, \
           '2026-10-01' AS psl_version \
         FROM numbers({from}, {rows})"
    )
}

/// `INSERT` of the jumps numbered `from..from + rows` out of `total`.
pub(crate) fn jumps(columns: &str, from: u64, rows: u64, total: u64) -> String {
    let span_us = DAYS * 86_400 * 1_000_000;
    let lane = lane(2);
    format!(
        "INSERT INTO jumps ({columns}) \
         WITH cityHash64(number, 3) AS h1, cityHash64(number, 4) AS h2, \
           toUInt64({CODES} * pow((h1 % 1000003) / 1000003., 2)) AS k, \
           cityHash64(k) % {DOMAINS} AS d, concat('d', toString(d), '.example') AS domain, \
           toUInt64({CLIENTS} * pow((h2 % 999983) / 999983., 2)) AS c \
         SELECT 'bench' AS node, toUInt64({lane}) AS lane, number AS seq, \
           fromUnixTimestamp64Micro(toInt64({START_S}000000 + intDiv({span_us} * toUInt128(number), {total}))) AS ts, \
           toIPv6(concat('::ffff:', IPv4NumToString(toUInt32(167772160 + c)))) AS client, \
           toUInt16(1024 + h2 % 64000) AS client_port, '' AS client_key, \
           toIPv6('::ffff:10.255.0.80') AS server_address, 443 AS server_port, 'GET' AS method, \
           'l.example' AS host, concat('/k', toString(k)) AS path, concat('k', toString(k)) AS code, \
           1 AS revision, concat('https://www.', domain, '/', toString(k)) AS target, \
           concat('www.', domain) AS target_host, domain AS target_registrable_domain, \
           [toIPv6(concat('::ffff:', IPv4NumToString(toUInt32(3221225472 + cityHash64(d) % 60000000))))] AS target_addresses, \
           302 AS status, 'jumped' AS outcome, 0 AS hop, '' AS tier, '' AS action, '' AS rule, \
           '' AS feed, '' AS feed_version, 'not_evaluated' AS verification, 'ref.example' AS referrer_host, \
           concat('Mozilla/5.0 (', toString(h2 % 5000), ')') AS user_agent, toUInt32(100 + h2 % 900) AS latency_us, \
           '2026-10-01' AS psl_version, toUInt128(bitShiftLeft(toUInt128({lane}), 64) + number) AS flow \
         FROM numbers({from}, {rows})"
    )
}
