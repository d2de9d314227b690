//! Statements that both databases read alike, for parts whose state lies in either.
//!
//! Columns and parameters are `bigint`, `text` and `bytea` (`INTEGER`, `TEXT` and `BLOB`), never
//! NULL. Parameters are numbered in the order in which they first appear, which SQLite counts as
//! names and PostgreSQL as places.

use rusqlite::{Connection, ToSql, types::ValueRef};
use tokio_postgres::types::{ToSql as ToPg, Type};

use super::postgres::{self, Session};

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum AnyError {
    /// In SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// In PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// A column is missing, or holds something else than is asked for.
    #[error("column {0} of the answer is not what was asked for")]
    Column(usize),
}

/// One row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyRow(Vec<Value>);

impl AnyRow {
    /// The number in column `at`.
    ///
    /// # Errors
    /// When there is none.
    pub fn int(&self, at: usize) -> Result<i64, AnyError> {
        match self.0.get(at) {
            Some(Value::Int(n)) => Ok(*n),
            _ => Err(AnyError::Column(at)),
        }
    }

    /// The text in column `at`.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&self, at: usize) -> Result<&str, AnyError> {
        match self.0.get(at) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(AnyError::Column(at)),
        }
    }

    /// The bytes in column `at`.
    ///
    /// # Errors
    /// When there are none.
    pub fn bytes(&self, at: usize) -> Result<&[u8], AnyError> {
        match self.0.get(at) {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(AnyError::Column(at)),
        }
    }
}

/// A database, or a transaction in one.
pub trait Any {
    /// The rows of a statement.
    ///
    /// # Errors
    /// When the database fails or a column has another type.
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<AnyRow>, AnyError>;

    /// How many rows a statement changed.
    ///
    /// # Errors
    /// When the database fails.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, AnyError>;
}

/// SQLite.
pub struct Sqlite<'a>(pub &'a Connection);

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Self::Int(n) => ToSql::to_sql(n),
            Self::Text(text) => ToSql::to_sql(text),
            Self::Bytes(bytes) => ToSql::to_sql(bytes),
        }
    }
}

impl Any for Sqlite<'_> {
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<AnyRow>, AnyError> {
        let mut statement = self.0.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let value = |at: usize| match row.get_ref(at)? {
                ValueRef::Integer(n) => Ok(Value::Int(n)),
                ValueRef::Text(text) => {
                    let text = std::str::from_utf8(text).map_err(|_| AnyError::Column(at))?;
                    Ok(Value::Text(text.to_owned()))
                }
                ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes.to_vec())),
                ValueRef::Null | ValueRef::Real(_) => Err(AnyError::Column(at)),
            };
            all.push(AnyRow((0..columns).map(value).collect::<Result<_, _>>()?));
        }
        Ok(all)
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, AnyError> {
        let changed = self.0.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values))?;
        Ok(changed as u64)
    }
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToPg + Sync)> {
    let mut all: Vec<&(dyn ToPg + Sync)> = Vec::with_capacity(values.len());
    for value in values {
        all.push(match value {
            Value::Int(n) => n,
            Value::Text(text) => text,
            Value::Bytes(bytes) => bytes,
        });
    }
    all
}

impl Any for Session {
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<AnyRow>, AnyError> {
        let rows = Self::query(self, sql, &parameters(values))?;
        let value = |row: &tokio_postgres::Row, at: usize| {
            let read = match *row.columns()[at].type_() {
                Type::INT8 => row.try_get(at).map(Value::Int),
                Type::INT4 => row.try_get::<_, i32>(at).map(|n| Value::Int(n.into())),
                Type::BYTEA => row.try_get(at).map(Value::Bytes),
                _ => row.try_get(at).map(Value::Text),
            };
            read.map_err(|_| AnyError::Column(at))
        };
        let row = |row: tokio_postgres::Row| {
            Ok(AnyRow((0..row.len()).map(|at| value(&row, at)).collect::<Result<_, AnyError>>()?))
        };
        rows.into_iter().map(row).collect()
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, AnyError> {
        Ok(Self::execute(self, sql, &parameters(values))?)
    }
}
