//! A shipment's file. First line: CRC32C of the second, in hexadecimal. Second line: JSON.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, Frame};

/// A shipment's file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ShipmentFile {
    pub(super) token: String,
    /// The shipment this one was split from. While that one's file is there, the split has not
    /// happened.
    pub(super) parent: Option<String>,
    /// Why it was set aside.
    pub(super) reason: Option<String>,
    /// Of a frame that was set aside: its rows that are in the store all the same.
    #[serde(default)]
    pub(super) kept: u64,
    pub(super) frames: Vec<FrameKey>,
}

/// A frame by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FrameKey {
    pub(super) lane: u64,
    pub(super) first_seq: u64,
    pub(super) count: u64,
}

impl From<&Frame> for FrameKey {
    fn from(f: &Frame) -> Self {
        Self { lane: f.lane.0, first_seq: f.first_seq, count: f.count }
    }
}

impl ShipmentFile {
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let json = serde_json::to_string(self).map_err(|_| Error::Damaged)?;
        Ok(format!("{:08x}\n{json}\n", crc32c::crc32c(json.as_bytes())).into_bytes())
    }

    /// Reads a file back.
    pub(super) fn decode(b: &[u8]) -> Option<Self> {
        let (crc, json) = std::str::from_utf8(b).ok()?.split_once('\n')?;
        let json = json.strip_suffix('\n')?;
        let crc = u32::from_str_radix(crc, 16).ok()?;
        (crc == crc32c::crc32c(json.as_bytes())).then(|| serde_json::from_str(json).ok())?
    }
}

/// Reads a shipment's file; none when it is damaged or gone.
pub(super) fn read_file(path: &Path) -> Option<ShipmentFile> {
    ShipmentFile::decode(&std::fs::read(path).ok()?)
}
