//! Detached signatures (minisign): what a feed with a key takes must bear one.
//!
//! Only signatures over a hash are taken (minisign's own default), so that a list need not be in
//! memory to be checked. A signature does not say how new a list is: a replayed old one verifies.

use std::{fs::File, io::Read};

use minisign_verify::{PublicKey, Signature};

use super::{Part, SourceError};

/// The largest signature file, in bytes.
pub(super) const SIGNATURE_BYTES_MAX: u64 = 8_192;

/// What a signature's file is named after the file it signs.
pub(super) const SUFFIX: &str = ".minisig";

/// Read at once.
const PIECE_BYTES: usize = 1 << 18;

/// Checks that `part` bears a good signature and says who signed. Blocks on the disk.
pub(super) fn verified(part: &Part, key: &str, signature: &[u8]) -> Result<String, SourceError> {
    let refused = |why: String| SourceError::Refused(format!("the signature: {why}"));
    let key_of_feed = PublicKey::from_base64(key).map_err(|e| refused(e.to_string()))?;
    let text = std::str::from_utf8(signature).map_err(|_| refused("not text".into()))?;
    let signature = Signature::decode(text).map_err(|e| refused(e.to_string()))?;
    let mut verifier = key_of_feed.verify_stream(&signature).map_err(|e| refused(e.to_string()))?;
    let away = |e: std::io::Error| SourceError::Away(format!("the list cannot be read again: {e}"));
    let mut file = File::open(part.path()).map_err(away)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece).map_err(away)? {
            0 => break,
            read => verifier.update(&piece[..read]),
        }
    }
    verifier.finalize().map_err(|e| refused(e.to_string()))?;
    Ok(format!("minisign {key}"))
}
