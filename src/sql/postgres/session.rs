//! One connection: statements one after another, each with a limit.

use std::{collections::HashMap, time::Duration};

use tokio_postgres::{Client, Row, Statement, types::ToSql};

use super::{Error, wait::block_on};
use crate::clock::Clock;

/// Prepared statements kept by a connection.
const STATEMENTS_MAX: usize = 64;

/// What our own limit is beyond the server's, which knows better why.
const MARGIN: Duration = Duration::from_millis(500);

/// Parameters of a statement.
pub type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection of its own.
#[derive(Debug)]
pub struct Session {
    client: Client,
    clock: Clock,
    timeout: Duration,
    statements: HashMap<Box<str>, Statement>,
    /// Not after a statement ran out of time, and not within a transaction.
    sound: bool,
}

/// Statements that come true together: see [`Session::transact`].
pub type Transaction<'a> = &'a mut Session;

impl Session {
    pub(super) fn new(client: Client, clock: Clock, timeout: Duration) -> Self {
        let timeout = timeout + MARGIN;
        Self { client, clock, timeout, statements: HashMap::new(), sound: true }
    }

    /// Whether it can be used again.
    pub fn is_sound(&self) -> bool {
        self.sound && !self.client.is_closed()
    }

    /// Several statements without parameters.
    ///
    /// # Errors
    /// When one is refused or the database is lost.
    pub fn batch(&mut self, sql: &str) -> Result<(), Error> {
        let done = block_on(&self.clock, self.timeout, self.client.batch_execute(sql));
        self.in_time(done)
    }

    /// The rows of one statement, which is prepared once.
    ///
    /// # Errors
    /// When it is refused or the database is lost.
    pub fn query(&mut self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
        let statement = self.statement(sql)?;
        let done = block_on(&self.clock, self.timeout, self.client.query(&statement, values));
        self.in_time(done)
    }

    /// The only row of one statement, or none.
    ///
    /// # Errors
    /// Those of [`Self::query`].
    pub fn query_opt(&mut self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, values)?.into_iter().next())
    }

    /// How many rows one statement changed.
    ///
    /// # Errors
    /// Those of [`Self::query`].
    pub fn execute(&mut self, sql: &str, values: Values<'_>) -> Result<u64, Error> {
        let statement = self.statement(sql)?;
        let done = block_on(&self.clock, self.timeout, self.client.execute(&statement, values));
        self.in_time(done)
    }

    /// Runs `work` in one transaction: all of it comes true, durably, or none.
    ///
    /// # Errors
    /// Those of `work`, which change nothing; [`Error::InDoubt`] when nobody can say.
    pub fn transact<T, E: From<Error>>(
        &mut self,
        work: impl FnOnce(Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.batch("BEGIN")?;
        // Whoever leaves half-way, by a panic too, leaves a connection that nobody uses again.
        self.sound = false;
        let out = work(self);
        let end = if out.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = block_on(&self.clock, self.timeout, self.client.batch_execute(end));
        match (out, ended.map(|e| e.map_err(Error::from))) {
            (Ok(out), Some(Ok(()))) => {
                self.sound = true;
                Ok(out)
            }
            // A refusal that the server spelt out is a rollback.
            (Ok(_), Some(Err(e @ Error::Sql(_)))) => {
                self.sound = true;
                Err(e.into())
            }
            (Ok(_), _) => Err(Error::InDoubt.into()),
            (Err(e), ended) => {
                self.sound = matches!(ended, Some(Ok(()))) && !self.client.is_closed();
                Err(e)
            }
        }
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let done = block_on(&self.clock, self.timeout, self.client.prepare(sql));
        let statement = self.in_time(done)?;
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(sql.into(), statement.clone());
        Ok(statement)
    }

    fn in_time<T>(&mut self, done: Option<Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        match done {
            Some(done) => Ok(done?),
            None => {
                self.sound = false;
                Err(Error::Down("no answer in time".into()))
            }
        }
    }
}
