//! Passwords of links: hashed with Argon2id (RFC 9106), kept as PHC strings.
//!
//! Hashing takes about 19 MiB and tens of milliseconds, on purpose: it is done before anything is
//! locked, and never on a thread that answers others.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};

use super::Error;

/// The hash of a password, with a salt of its own. Takes long.
///
/// # Errors
/// Without random numbers.
pub fn hash_password(password: &str) -> Result<String, Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(Error::Random)?;
    let hash: Result<PasswordHash, _> =
        Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    hash.map(|h| h.to_string()).map_err(|_| Error::Password)
}

/// Whether `attempt` is the password of this hash. Takes long.
pub fn is_password(hash: &str, attempt: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(attempt.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_alone_opens() {
        let hash = hash_password("芝麻开门").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert!(is_password(&hash, "芝麻开门"));
        for wrong in ["", "芝麻", "芝麻开门 ", &hash] {
            assert!(!is_password(&hash, wrong), "{wrong}");
        }
        assert_ne!(hash, hash_password("芝麻开门").unwrap(), "each has a salt of its own");
        assert!(!is_password("no hash", "no hash"));
    }
}
