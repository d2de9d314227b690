//! What happened lately, for the blast radius of a version.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;

use crate::{
    clock::Timestamp,
    feeds::blast::{Past, PastAnswer, PastAsk, PastClient, PastJump, PastQuery},
    record::rowbinary::{Reader, Truncated},
    store::Store,
};

/// What an answer of the store may take, in bytes, for each kind of answer or jump.
const KIND_BYTES_MAX: u64 = 2_048;

// Rules decide about what would have been answered without them. Where the answer stood, that is the
// answer; where a rule replaced it, what was there before, as far as it was known. What was cut from
// it begins with a semicolon.
const ANSWERS: &str = "
    WITH action IN ('', 'passthru', 'hint', 'interstitial', 'observe', 'leave-signed')
            OR (action = 'tcp-only' AND transport = 'tcp') AS stood,
        arrayFilter(r -> NOT startsWith(r.rdata, ';'), original_answers) AS before
    SELECT qname,
        if(stood, answer_names, arrayMap(r -> r.rdata, arrayFilter(r -> r.type = 5, before)))
            AS names,
        if(stood, answers, arrayMap(r -> toIPv6OrDefault(r.rdata),
            arrayFilter(r -> r.type IN (1, 28), before))) AS addresses,
        count() AS n
    FROM resolutions
    WHERE ts >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
    GROUP BY qname, names, addresses ORDER BY n DESC LIMIT {kinds_max:UInt64}";

const JUMPS: &str = "
    SELECT code, target, target_addresses, count() AS n FROM jumps
    WHERE ts >= fromUnixTimestamp64Micro({from:Int64}, 'UTC') AND target != ''
    GROUP BY code, target, target_addresses ORDER BY n DESC LIMIT {kinds_max:UInt64}";

const CLIENTS: &str = "
    SELECT client, count() AS n FROM resolutions
    WHERE ts >= fromUnixTimestamp64Micro({from:Int64}, 'UTC') AND client_key = ''
    GROUP BY client ORDER BY n DESC LIMIT {kinds_max:UInt64}";

// A scalar subquery is Nullable, which has a byte of its own in RowBinary.
const COUNTS: &str = "
    SELECT
        assumeNotNull((SELECT count() FROM resolutions
         WHERE ts >= fromUnixTimestamp64Micro({from:Int64}, 'UTC'))),
        assumeNotNull((SELECT count() FROM jumps
         WHERE ts >= fromUnixTimestamp64Micro({from:Int64}, 'UTC') AND target != ''))";

/// Asks `store`; no question may take more memory there than `memory_bytes_max`.
pub(super) fn query(store: Store, memory_bytes_max: u64) -> PastQuery {
    Arc::new(move |ask: PastAsk| {
        let asking = Asking { store: store.clone(), ask, memory_bytes_max };
        async move { asking.past().await }.boxed()
    })
}

struct Asking {
    store: Store,
    ask: PastAsk,
    memory_bytes_max: u64,
}

impl Asking {
    async fn past(&self) -> Result<Past, String> {
        let mut past = Past::default();
        let counts = self.read(COUNTS).await?;
        let mut input = Reader(&counts);
        (past.resolutions, past.all_jumps) = (u64(&mut input)?, u64(&mut input)?);
        let answers = self.read(ANSWERS).await?;
        let mut input = Reader(&answers);
        while !input.is_empty() {
            past.answers.push(answer(&mut input).map_err(|_| truncated())?);
        }
        let jumps = self.read(JUMPS).await?;
        let mut input = Reader(&jumps);
        while !input.is_empty() {
            past.jumps.push(jump(&mut input).map_err(|_| truncated())?);
        }
        if self.ask.clients {
            let clients = self.read(CLIENTS).await?;
            let mut input = Reader(&clients);
            while !input.is_empty() {
                past.clients.push(client(&mut input).map_err(|_| truncated())?);
            }
        }
        Ok(past)
    }

    async fn read(&self, sql: &str) -> Result<Vec<u8>, String> {
        let seconds = Duration::from_millis(self.ask.timeout_ms).as_secs().max(1);
        let query = self
            .store
            .client()
            .query_raw(sql)
            .param("from", from(self.ask.from))
            .param("kinds_max", self.ask.kinds_max)
            .with_setting("max_execution_time", seconds.to_string())
            .with_setting("max_memory_usage", self.memory_bytes_max.to_string());
        let mut cursor = query.fetch_bytes("RowBinary").map_err(|e| away(&e))?;
        let bytes_max = self.ask.kinds_max.saturating_mul(KIND_BYTES_MAX);
        let mut bytes = Vec::new();
        while let Some(chunk) = cursor.next().await.map_err(|e| away(&e))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > bytes_max {
                return Err("the past is larger than may be looked at".into());
            }
        }
        Ok(bytes)
    }
}

const fn from(ts: Timestamp) -> i64 {
    ts.0
}

fn away(error: &clickhouse::error::Error) -> String {
    format!("the store cannot be asked: {error}")
}

fn truncated() -> String {
    "the store's answer is cut short".into()
}

fn u64(input: &mut Reader<'_>) -> Result<u64, String> {
    input.u64().map_err(|_| truncated())
}

fn text(input: &mut Reader<'_>) -> Result<String, Truncated> {
    Ok(String::from_utf8_lossy(input.bytes()?).into_owned())
}

fn addresses(input: &mut Reader<'_>) -> Result<Vec<std::net::IpAddr>, Truncated> {
    let n = input.len()?;
    (0..n).map(|_| Ok(std::net::IpAddr::V6(input.ip()?).to_canonical())).collect()
}

fn answer(input: &mut Reader<'_>) -> Result<PastAnswer, Truncated> {
    let qname = text(input)?;
    let n = input.len()?;
    let chain = (0..n).map(|_| text(input)).collect::<Result<_, _>>()?;
    Ok(PastAnswer { qname, chain, addresses: addresses(input)?, count: input.u64()? })
}

fn client(input: &mut Reader<'_>) -> Result<PastClient, Truncated> {
    let address = std::net::IpAddr::V6(input.ip()?).to_canonical();
    Ok(PastClient { address, count: input.u64()? })
}

fn jump(input: &mut Reader<'_>) -> Result<PastJump, Truncated> {
    let (code, target) = (text(input)?, text(input)?);
    Ok(PastJump { code, target, addresses: addresses(input)?, count: input.u64()? })
}
