//! Evidence: what a source said, byte for byte, and who said it when to whom.
//!
//! A body is named by its SHA-256: the same bytes are kept once. An [`Observation`] says what was
//! asked of which source from which vantage, and which body came back or what went wrong instead.
//! A [`Bundle`] is all that one verification saw. It is what checks are given, beside a time, and
//! all that a replay needs.

use std::{collections::BTreeMap, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

use super::outcome::{Fault, words};
use crate::clock::Timestamp;

/// The SHA-256 of a body; 64 hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceId([u8; 32]);

impl EvidenceId {
    /// The name of these bytes.
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// The digest itself.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EvidenceId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 32];
        hex::decode_to_slice(text, &mut id)?;
        Ok(Self(id))
    }
}

impl Serialize for EvidenceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EvidenceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for EvidenceId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EvidenceId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
    }
}

words! {
    /// What kind of thing a body is.
    Kind {
        /// A DNS message, its id zeroed.
        DnsWire = "dns_wire",
        /// An RDAP response, persons stripped.
        RdapJson = "rdap_json",
        /// A WHOIS response, persons stripped.
        WhoisText = "whois_text",
        /// What another tracegate sees of a name.
        Perspective = "perspective",
        /// What was found in a data set: a row of it.
        DatasetRow = "dataset_row",
        /// What the owner said should be so.
        Declaration = "declaration",
        /// What a verdict was judged from.
        Dossier = "dossier",
    }
}

words! {
    /// In which capacity a source speaks.
    Authority {
        /// The registry of the domain, found by bootstrap.
        Registry = "registry",
        /// Its registrar.
        Registrar = "registrar",
        /// The zone above.
        Parent = "parent",
        /// The zone itself.
        Child = "child",
        /// A resolver.
        Resolver = "resolver",
        /// A regional internet registry.
        Rir = "rir",
        /// A set of data that was loaded.
        Dataset = "dataset",
        /// Whoever runs this service, or its customer.
        Operator = "operator",
    }
}

words! {
    /// How a source was reached.
    Transport {
        /// DNS over UDP.
        Udp = "udp",
        /// DNS or WHOIS over TCP.
        Tcp = "tcp",
        /// HTTPS.
        Https = "https",
        /// A file of this machine.
        File = "file",
    }
}

/// Who was asked, and how.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Source {
    /// In which capacity it speaks.
    pub authority: Authority,
    /// What it is called: a server's name, a data set's.
    pub name: String,
    /// Where it was asked: an address and port, a URL, a version.
    pub endpoint: String,
    /// How.
    pub transport: Transport,
}

/// What was asked.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum Question {
    /// A question of DNS.
    Dns {
        /// The zone as whose server it was asked.
        zone: String,
        /// The name.
        qname: String,
        /// The type, as a number.
        qtype: u16,
    },
    /// What another place sees of a name.
    Perspective {
        /// The name.
        name: String,
        /// The type that a resolver was asked for, as a number; none where a tracegate was asked.
        qtype: Option<u16>,
    },
    /// What clients of ours are told of a name.
    Served {
        /// The name.
        name: String,
        /// The type, as a number.
        qtype: u16,
    },
    /// What passive DNS has seen of a name.
    History {
        /// The name.
        name: String,
    },
    /// Where names of a domain were seen to redirect.
    Redirects {
        /// The domain.
        domain: String,
    },
    /// What a registry says of a domain.
    Domain {
        /// The domain.
        name: String,
    },
    /// What a registry says of an address.
    Network {
        /// The address.
        address: String,
    },
}

/// What one source said to one question, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// What was asked.
    #[serde(flatten)]
    pub question: Question,
    /// Of whom.
    pub source: Source,
    /// From where: a name of the configuration.
    pub vantage: String,
    /// When it came back.
    pub at: Timestamp,
    /// Through when it may be believed.
    pub expires: Timestamp,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// What came back.
    pub got: Got,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Got {
    /// A body.
    Body {
        /// Its name.
        evidence: EvidenceId,
        /// What it is.
        kind: Kind,
        /// How many bytes.
        size: u64,
    },
    /// Nothing.
    Fault(Fault),
}

impl Observation {
    /// The name of the body, where there is one.
    pub const fn evidence(&self) -> Option<EvidenceId> {
        match self.got {
            Got::Body { evidence, .. } => Some(evidence),
            Got::Fault(_) => None,
        }
    }
}

/// All that one verification saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// In the order in which they were made.
    pub observations: Vec<Observation>,
    /// The bodies by their names.
    #[serde(with = "bodies")]
    pub bodies: BTreeMap<EvidenceId, Vec<u8>>,
}

impl Bundle {
    /// Keeps a body and says how to name it.
    pub fn keep(&mut self, kind: Kind, body: Vec<u8>) -> Got {
        let evidence = EvidenceId::of(&body);
        let size = body.len() as u64;
        self.bodies.entry(evidence).or_insert(body);
        Got::Body { evidence, kind, size }
    }

    /// Takes in what another saw.
    pub fn extend(&mut self, other: Self) {
        self.observations.extend(other.observations);
        self.bodies.extend(other.bodies);
    }

    /// Orders what was seen so that it does not depend on who was quicker.
    pub fn sort(&mut self) {
        let key = |o: &Observation| (o.question.clone(), o.source.clone(), o.at);
        self.observations.sort_by_cached_key(key);
    }

    /// The body of an observation; nothing where there was none, or it is gone.
    pub fn body(&self, observation: &Observation) -> Option<&[u8]> {
        self.bodies.get(&observation.evidence()?).map(Vec::as_slice)
    }

    /// The first body that is not what its name says.
    pub fn altered(&self) -> Option<EvidenceId> {
        self.bodies.iter().find(|(id, body)| EvidenceId::of(body) != **id).map(|(id, _)| *id)
    }
}

/// Bodies in JSON: base64 by name.
mod bodies {
    use std::collections::BTreeMap;

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::EvidenceId;

    type Bodies = BTreeMap<EvidenceId, Vec<u8>>;

    pub(super) fn serialize<S: Serializer>(bodies: &Bodies, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(bodies.iter().map(|(id, body)| (id, STANDARD.encode(body))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bodies, D::Error> {
        let coded = BTreeMap::<EvidenceId, String>::deserialize(from)?;
        let decode = |(id, text)| Ok((id, STANDARD.decode(text).map_err(D::Error::custom)?));
        coded.into_iter().map(decode).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_read_back_as_it_was_written_and_tells_what_was_altered() {
        let mut bundle = Bundle::default();
        let got = bundle.keep(Kind::WhoisText, b"Domain Name: example.cn\r\n".to_vec());
        let source = Source {
            authority: Authority::Registry,
            name: "whois.cnnic.cn".into(),
            endpoint: "203.119.28.1:43".into(),
            transport: Transport::Tcp,
        };
        let observation = |got| Observation {
            question: Question::Domain { name: "example.cn".into() },
            source: source.clone(),
            vantage: "here".into(),
            at: Timestamp(1_000_000),
            expires: Timestamp(2_000_000),
            took_us: 17,
            got,
        };
        let fault = Got::Fault(Fault::RateLimited { retry_at: Some(Timestamp(3_000_000)) });
        bundle.observations = vec![observation(got), observation(fault)];
        let text = serde_json::to_string(&bundle).unwrap();
        let mut back: Bundle = serde_json::from_str(&text).unwrap();
        assert_eq!(back, bundle);
        assert_eq!(back.altered(), None);
        let id = *back.bodies.keys().next().unwrap();
        back.bodies.get_mut(&id).unwrap().push(b'!');
        assert_eq!(back.altered(), Some(id));
    }
}
