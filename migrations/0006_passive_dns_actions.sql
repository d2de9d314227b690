-- min_binary: 0.1.0
-- Rules that warn, watch or leave an answer alone do not replace it: what was answered under them is
-- a fact about the name, too. Of what was replaced, the note on what was cut off, which begins with a
-- semicolon (59), is none.

ALTER TABLE passive_dns_mv MODIFY QUERY
SELECT
    rr.1 AS rrname,
    rr.2 AS rrtype,
    rr.3 AS rdata,
    min(t.seen_from) AS first_seen,
    max(t.seen_to) AS last_seen,
    sum(t.times) AS count
FROM
(
    SELECT
        qname,
        action IN ('', 'passthru', 'hint', 'interstitial', 'observe', 'leave-signed')
            OR (action = 'tcp-only' AND transport = 'tcp') AS own,
        if(own, answers, []) AS addresses,
        if(own, answer_names, []) AS names,
        if(own, answer_data, arrayFilter(r -> NOT startsWith(r.rdata, char(59)), original_answers))
            AS others,
        min(ts) AS seen_from,
        max(ts) AS seen_to,
        count() AS times
    FROM resolutions
    WHERE qclass = 1 AND (notEmpty(answers) OR notEmpty(answer_names) OR notEmpty(answer_data) OR notEmpty(original_answers))
    GROUP BY qname, own, addresses, names, others
) AS t
ARRAY JOIN arrayConcat(
    arrayMap((name, i) -> (if(i = 1, qname, names[i - 1]), 5::UInt16, name), names, arrayEnumerate(names)),
    arrayMap(a -> (
        if(empty(names), qname, names[-1]),
        if(startsWith(toString(a), '::ffff:'), 1, 28)::UInt16,
        if(startsWith(toString(a), '::ffff:'), substring(toString(a), 8), toString(a))), addresses),
    arrayMap(d -> (d.owner, d.type, d.rdata), others)) AS rr
GROUP BY rrname, rrtype, rdata;
