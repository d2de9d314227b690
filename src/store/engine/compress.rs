//! The two compressed forms of the HTTP interface: ClickHouse's own blocks (`compress=1` and
//! `decompress=1`: CityHash128 v1.0.2, a header, LZ4 or plain bytes) and LZ4 frames
//! (`Content-Encoding: lz4`). Reading is streaming and bounded by one block.

use std::io::{self, Read, Write};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};

const LZ4: u8 = 0x82;
const NONE: u8 = 0x02;
const CHECKSUM: usize = 16;
const HEADER: usize = 9;
/// ClickHouse writes blocks of a megabyte; the crate's are smaller still.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// Reads ClickHouse's blocks.
pub(super) struct BlockDecoder<R> {
    inner: R,
    block: Vec<u8>,
    at: usize,
}

impl<R: Read> BlockDecoder<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, block: Vec::new(), at: 0 }
    }

    /// Reads one block; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let mut meta = [0; CHECKSUM + HEADER];
        let mut have = 0;
        while have < meta.len() {
            match self.inner.read(&mut meta[have..])? {
                0 if have == 0 => return Ok(false),
                0 => return Err(invalid("Cannot decompress: a block is cut short")),
                n => have += n,
            }
        }
        let (checksum, header) = meta.split_at(CHECKSUM);
        let size = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
                as usize
        };
        let (compressed, raw) = (size(1), size(5));
        if !(HEADER..=BLOCK_BYTES_MAX).contains(&compressed) || raw > BLOCK_BYTES_MAX {
            return Err(invalid("Cannot decompress: a block's size is out of bounds"));
        }
        let mut data = header.to_vec();
        data.resize(compressed, 0);
        self.inner.read_exact(&mut data[HEADER..])?;
        if hash(&data).as_slice() != checksum {
            return Err(invalid("Checksum doesn't match: corrupted data"));
        }
        self.block = match header[0] {
            LZ4 => lz4_flex::block::decompress(&data[HEADER..], raw).map_err(invalid)?,
            NONE => data.split_off(HEADER),
            _ => return Err(invalid("Unknown compression method: only LZ4 and NONE are known")),
        };
        if self.block.len() != raw {
            return Err(invalid("Cannot decompress: a block's size is wrong"));
        }
        self.at = 0;
        Ok(true)
    }
}

impl<R: Read> Read for BlockDecoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let n = buffer.len().min(self.block.len() - self.at);
        buffer[..n].copy_from_slice(&self.block[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Reads LZ4 frames; several may follow one another.
pub(super) fn frame_decoder<R: Read>(inner: R) -> impl Read {
    FrameDecoder::new(inner)
}

fn invalid(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e)
}

/// The checksum as it stands in a block: the higher half of CityHash128 first.
fn hash(data: &[u8]) -> [u8; CHECKSUM] {
    cityhash_rs::cityhash_102_128(data).rotate_right(64).to_le_bytes()
}

/// One block of ClickHouse's.
fn block(data: &[u8]) -> Vec<u8> {
    let packed = lz4_flex::block::compress(data);
    let len = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = vec![0; CHECKSUM];
    out.push(LZ4);
    out.extend_from_slice(&len(packed.len() + HEADER));
    out.extend_from_slice(&len(data.len()));
    out.extend_from_slice(&packed);
    let checksum = hash(&out[CHECKSUM..]);
    out[..CHECKSUM].copy_from_slice(&checksum);
    out
}

/// How a reply's body is written.
pub(super) enum Encoder {
    /// As it is.
    Plain,
    /// ClickHouse's blocks.
    Blocks,
    /// One LZ4 frame.
    Frame(Box<FrameEncoder<Vec<u8>>>),
}

impl Encoder {
    /// An LZ4 frame not begun yet.
    pub(super) fn frame() -> Self {
        Self::Frame(Box::new(FrameEncoder::new(Vec::new())))
    }

    /// `data` in this form, whole and flushed.
    pub(super) fn encode(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(data.to_vec()),
            Self::Blocks => Ok(data.chunks(1 << 20).flat_map(block).collect()),
            Self::Frame(encoder) => {
                encoder.write_all(data)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// What ends the body.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain | Self::Blocks => Ok(Vec::new()),
            Self::Frame(encoder) => encoder.finish().map_err(io::Error::other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_of_another_implementation_is_read() {
        // From the documentation of the clickhouse crate's format: the block of these 10 bytes.
        let data = [1_u8, 0, 2, 255, 255, 255, 255, 0, 1, 1];
        let mut plain = vec![0; CHECKSUM];
        plain.push(NONE);
        plain.extend_from_slice(&19_u32.to_le_bytes());
        plain.extend_from_slice(&10_u32.to_le_bytes());
        plain.extend_from_slice(&data);
        let checksum = hash(&plain[CHECKSUM..]);
        plain[..CHECKSUM].copy_from_slice(&checksum);
        let mut out = Vec::new();
        BlockDecoder::new(plain.as_slice()).read_to_end(&mut out).unwrap();
        assert_eq!(out, data);
    }

    proptest! {
        #[test]
        fn blocks_round_trip_and_notice_every_flipped_bit(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..5),
            flip in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut encoder = Encoder::Blocks;
            let wire: Vec<u8> = parts.iter().flat_map(|p| encoder.encode(p).unwrap()).collect();
            let mut out = Vec::new();
            BlockDecoder::new(wire.as_slice()).read_to_end(&mut out).unwrap();
            prop_assert_eq!(&out, &parts.concat());
            let mut bad = wire.clone();
            let bit = flip.index(bad.len() * 8);
            bad[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(BlockDecoder::new(bad.as_slice()).read_to_end(&mut Vec::new()).is_err());
            // A cut at a block's edge is only noticed by HTTP's own framing.
            let cut = cut.index(wire.len());
            let mut short = Vec::new();
            if BlockDecoder::new(&wire[..cut]).read_to_end(&mut short).is_ok() {
                prop_assert!(parts.concat().starts_with(&short));
            }
        }

        #[test]
        fn frames_round_trip(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5)) {
            let mut encoder = Encoder::frame();
            let mut wire: Vec<u8> = parts.iter().flat_map(|p| encoder.encode(p).unwrap()).collect();
            wire.extend(encoder.finish().unwrap());
            let mut out = Vec::new();
            frame_decoder(wire.as_slice()).read_to_end(&mut out).unwrap();
            prop_assert_eq!(out, parts.concat());
        }
    }
}
