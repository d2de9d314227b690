//! Secrets and signatures (Standard Webhooks 1.0.0).

use domain::utils::base64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::Timestamp;

/// What sets these secrets apart from everything else that the key makes.
const PURPOSE: &[u8] = b"tracegate webhook secret 1";

/// Makes the secrets of endpoints.
pub struct Signer {
    key: [u8; 32],
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    /// Over the key behind the codes, which all gateways of one database have.
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The secret of the endpoint of this number under `salt`.
    pub fn secret(&self, endpoint: i64, salt: &[u8]) -> [u8; 32] {
        mac(&self.key, &[PURPOSE, &endpoint.to_be_bytes(), salt])
    }

    /// The same as its owner writes it down.
    pub fn shown(&self, endpoint: i64, salt: &[u8]) -> String {
        format!("whsec_{}", base64::encode_string(&self.secret(endpoint, salt)))
    }
}

/// One signature of a message as it is sent at `at`: `v1,` and the code in base64.
pub fn sign(secret: &[u8; 32], id: &str, at: Timestamp, body: &[u8]) -> String {
    let head = format!("{id}.{}.", at.secs());
    format!("v1,{}", base64::encode_string(&mac(secret, &[head.as_bytes(), body])))
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret: Vec<u8> = base64::decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let head = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.";
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
        mac.update(head);
        mac.update(br#"{"test": 2432232314}"#);
        let code = base64::encode_string(&mac.finalize().into_bytes());
        assert_eq!(code, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn endpoints_and_salts_have_secrets_of_their_own() {
        let signer = Signer::new([7; 32]);
        let one = signer.secret(1, &[1; 32]);
        assert_eq!(one, Signer::new([7; 32]).secret(1, &[1; 32]));
        for other in [
            signer.secret(2, &[1; 32]),
            signer.secret(1, &[2; 32]),
            Signer::new([8; 32]).secret(1, &[1; 32]),
        ] {
            assert_ne!(one, other);
        }
        assert!(signer.shown(1, &[1; 32]).starts_with("whsec_"));
        assert_eq!(signer.shown(1, &[1; 32]).len(), 6 + 44);
        let at = Timestamp::from_secs(1_614_265_330);
        let signed = sign(&one, "msg_1", at, b"{}");
        assert!(signed.starts_with("v1,"));
        assert_ne!(signed, sign(&one, "msg_2", at, b"{}"));
        assert_ne!(signed, sign(&one, "msg_1", Timestamp::from_secs(1), b"{}"));
    }
}
