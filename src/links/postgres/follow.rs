//! Hears what other nodes change.

use std::{future::poll_fn, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_postgres::{AsyncMessage, Connection, Socket};
use tokio_util::sync::CancellationToken;

use super::{CHANNEL, PostgresLinks};
use crate::{
    links::{Error, Links, Tokens},
    sql::postgres::{self, RETRY},
};

/// Beats in the time for which links are believed.
const BEATS: u32 = 4;

/// One connection that listens, made again whenever it is lost.
#[derive(Debug)]
pub struct Follower {
    /// The database.
    pub store: Arc<PostgresLinks>,
    /// What is in memory of it.
    pub links: Arc<Links>,
    /// The same.
    pub tokens: Arc<Tokens>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// A beat on its way.
struct Beat {
    number: u64,
    sent: u64,
}

impl Follower {
    /// Runs until it is stopped.
    pub async fn run(self) {
        let mut heard = true;
        loop {
            let ended = tokio::select! {
                () = self.stop.cancelled() => return,
                ended = self.listen(&mut heard) => ended,
            };
            self.store.fresh.lost();
            if let Err(error) = ended
                && heard
            {
                tracing::warn!(%error, "changes made on other nodes are not heard");
                heard = false;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(RETRY) => {}
            }
        }
    }

    async fn listen(&self, heard: &mut bool) -> Result<(), Error> {
        let (client, mut connection) = self.store.pool.connect_raw().await?;
        let mut hash = String::new();
        hash.push_str(&hex::encode(Sha256::digest(&self.store.node)));
        hash.truncate(16);
        let own = format!("{CHANNEL}_{hash}");
        // A beat needs no disk.
        let begin = format!("SET synchronous_commit = off; LISTEN {CHANNEL}; LISTEN {own}");
        let mut begin = client.batch_execute(&begin).boxed();
        let waited = sleep(self.store.pool.connect_timeout());
        tokio::pin!(waited);
        loop {
            tokio::select! {
                done = &mut begin => break done.map_err(postgres::Error::from)?,
                message = next(&mut connection) => drop(message?),
                () = &mut waited => {
                    return Err(Error::Away("nobody answers who would listen".into()));
                }
            }
        }
        drop(begin);
        let fresh = &self.store.fresh;
        fresh.listens(fresh.now());
        self.read_tokens().await;
        if !*heard {
            tracing::info!("changes made on other nodes are heard again");
            *heard = true;
        }
        let mut tick = interval((fresh.stale_max() / BEATS).max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut beat, mut number) = (None::<Beat>, 0);
        let mut asked: Option<Asked<'_>> = None;
        loop {
            tokio::select! {
                message = next(&mut connection) => {
                    if let AsyncMessage::Notification(said) = message? {
                        if said.channel() == own {
                            if let Some(back) = beat.take_if(|b| said.payload() == b.number.to_string()) {
                                fresh.beat(back.sent);
                            }
                        } else {
                            self.hear(said.payload()).await;
                        }
                    }
                }
                done = answered(&mut asked) => {
                    asked = None;
                    done.map_err(postgres::Error::from)?;
                }
                _ = tick.tick() => match &beat {
                    Some(beat) => {
                        let waited = Duration::from_micros(fresh.now().saturating_sub(beat.sent));
                        if waited > self.store.pool.connect_timeout() {
                            return Err(Error::Away("a beat did not come back".into()));
                        }
                    }
                    None if asked.is_none() => {
                        number += 1;
                        beat = Some(Beat { number, sent: fresh.now() });
                        let (client, sql) = (&client, format!("NOTIFY {own}, '{number}'"));
                        asked = Some(async move { client.batch_execute(&sql).await }.boxed());
                        self.settle().await;
                    }
                    None => {}
                },
            }
        }
    }

    async fn hear(&self, said: &str) {
        let mut words = said.split(' ');
        match words.next() {
            Some("links") => words.for_each(|code| self.links.cache.changed(code)),
            Some("tokens") => self.read_tokens().await,
            // A newer build's.
            _ => {}
        }
    }

    async fn read_tokens(&self) {
        let tokens = Arc::clone(&self.tokens);
        let read = tokio::task::spawn_blocking(move || tokens.read()).await;
        if let Ok(Err(error)) = read {
            tracing::warn!(%error, "tokens made or revoked on other nodes are not known");
        }
    }

    /// What could not be shown or taken back when it was to be.
    async fn settle(&self) {
        if !self.store.is_unsettled() {
            return;
        }
        let store = Arc::clone(&self.store);
        let settled = tokio::task::spawn_blocking(move || store.settle_later()).await;
        if let Ok(Err(error)) = settled {
            tracing::warn!(%error, "kept revisions are not in force yet");
        }
    }
}

/// A beat that the server has not taken yet.
type Asked<'a> = BoxFuture<'a, Result<(), tokio_postgres::Error>>;

/// Waits for ever without one.
async fn answered(asked: &mut Option<Asked<'_>>) -> Result<(), tokio_postgres::Error> {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}

async fn next<T: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<Socket, T>,
) -> Result<AsyncMessage, Error> {
    match poll_fn(|cx| connection.poll_message(cx)).await {
        Some(message) => Ok(message.map_err(postgres::Error::from)?),
        None => Err(Error::Away("the connection was closed".into())),
    }
}
