//! ClickHouse's `RowBinary`: the bytes a row is encoded in, hashed in and given back in.
//!
//! Integers are little-endian, strings and arrays carry an unsigned LEB128 length, `IPv6` is its
//! sixteen bytes in network order, `DateTime64(6)` is a signed 64-bit count of microseconds.
//! Source: ClickHouse documentation, "RowBinary" format.

use std::net::{IpAddr, Ipv6Addr};

use crate::clock::Timestamp;

/// Appends values to a row.
#[derive(Debug)]
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// `UInt8`.
    pub fn u8(&mut self, v: u8) -> &mut Self {
        self.0.push(v);
        self
    }

    /// `UInt16`.
    pub fn u16(&mut self, v: u16) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }

    /// `UInt32`.
    pub fn u32(&mut self, v: u32) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }

    /// `UInt64`.
    pub fn u64(&mut self, v: u64) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }

    /// `UInt128`.
    pub fn u128(&mut self, v: u128) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }

    /// `DateTime64(6, 'UTC')`.
    pub fn ts(&mut self, v: Timestamp) -> &mut Self {
        self.0.extend_from_slice(&v.0.to_le_bytes());
        self
    }

    /// `IPv6`, IPv4 mapped (RFC 4291 §2.5.5.2).
    pub fn ip(&mut self, v: IpAddr) -> &mut Self {
        self.0.extend_from_slice(&mapped(v).octets());
        self
    }

    /// `String` (also `LowCardinality(String)`, which has the same bytes).
    pub fn str(&mut self, v: &str) -> &mut Self {
        self.bytes(v.as_bytes())
    }

    /// `String` of bytes that need not be UTF-8.
    pub fn bytes(&mut self, v: &[u8]) -> &mut Self {
        self.len(v.len());
        self.0.extend_from_slice(v);
        self
    }

    /// Bytes as they are: `FixedString(N)` and tails encoded earlier.
    pub fn raw(&mut self, v: &[u8]) -> &mut Self {
        self.0.extend_from_slice(v);
        self
    }

    /// The length before an array's elements or a string's bytes.
    pub fn len(&mut self, mut n: usize) -> &mut Self {
        while n >= 0x80 {
            self.0.push((n as u8) | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
        self
    }
}

/// An address in the form of every address column: IPv4 mapped into IPv6.
pub const fn mapped(v: IpAddr) -> Ipv6Addr {
    match v {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The bytes end before the value does, or a length is absurd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row bytes end too early")]
pub struct Truncated;

/// Reads values back from a row.
#[derive(Clone, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Truncated> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    /// `UInt8`.
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[b]| b)
    }

    /// `UInt16`.
    pub fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_le_bytes)
    }

    /// `UInt32`.
    pub fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_le_bytes)
    }

    /// `UInt64`.
    pub fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_le_bytes)
    }

    /// `UInt128`.
    pub fn u128(&mut self) -> Result<u128, Truncated> {
        self.array().map(u128::from_le_bytes)
    }

    /// `DateTime64(6, 'UTC')`.
    pub fn ts(&mut self) -> Result<Timestamp, Truncated> {
        self.array().map(|b| Timestamp(i64::from_le_bytes(b)))
    }

    /// `IPv6`.
    pub fn ip(&mut self) -> Result<Ipv6Addr, Truncated> {
        self.array::<16>().map(Ipv6Addr::from)
    }

    /// A length: at most what is left, because every element takes at least one byte.
    pub fn len(&mut self) -> Result<usize, Truncated> {
        let mut n: u64 = 0;
        for shift in (0..63).step_by(7) {
            let b = self.u8()?;
            n |= u64::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                let n = usize::try_from(n).map_err(|_| Truncated)?;
                return if n <= self.0.len() { Ok(n) } else { Err(Truncated) };
            }
        }
        Err(Truncated)
    }

    /// `String`.
    pub fn bytes(&mut self) -> Result<&'a [u8], Truncated> {
        let n = self.len()?;
        self.take(n)
    }

    /// Whether every byte has been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
