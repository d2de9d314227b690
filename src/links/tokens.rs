//! Bearer tokens: who may use the API, and as what.
//!
//! A secret is 32 random bytes, shown once; the database holds its SHA-256. All tokens are in
//! memory, and a secret is compared with every one of them in constant time: how long it takes
//! says nothing about how near a guess was. The operator's own token lies in
//! `secrets/operator.token` and in no database.

use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{Error, LinkStore, Secrets, TokenRow, secret};
use crate::clock::{Clock, Timestamp};

/// The name of the operator's own token, in records too. No other token may have it.
pub const OPERATOR: &str = "operator";

/// The longest name of a token, in bytes.
pub const TOKEN_NAME_MAX: usize = 64;

/// What a token is for. Who may do what is a table in `api`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs the service.
    Operator,
    /// Asks for traces in a case.
    Investigator,
    /// Accounts for coverage, gaps and compliance.
    Auditor,
    /// Converts links.
    Writer,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Operator, Self::Investigator, Self::Auditor, Self::Writer];

    /// The role's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Investigator => "investigator",
            Self::Auditor => "auditor",
            Self::Writer => "writer",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.name() == name)
    }
}

/// Who bears a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The token's name, as records keep it.
    pub name: Arc<str>,
    /// The person who bears it: one may bear several.
    pub person: Arc<str>,
    /// Its role.
    pub role: Role,
    /// Whose links alone it is for; none for everybody's.
    pub owner: Option<Arc<str>>,
}

impl Actor {
    /// Whether the links of `owner` are its business.
    pub fn acts_for(&self, owner: &str) -> bool {
        self.owner.as_deref().is_none_or(|own| own == owner)
    }
}

/// The tokens in force.
#[derive(Debug)]
pub struct Tokens {
    store: Arc<dyn LinkStore>,
    clock: Clock,
    tokens_max: usize,
    known: RwLock<Vec<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    actor: Actor,
    digest: [u8; 32],
    expires: Timestamp,
}

impl Tokens {
    /// Reads the tokens of `store`, and the operator's own from `secrets`, which is made on the
    /// first start. At most `tokens_max` beside it.
    ///
    /// # Errors
    /// When the database or the secret cannot be read.
    pub fn open(
        store: Arc<dyn LinkStore>,
        secrets: &Secrets,
        clock: Clock,
        tokens_max: usize,
    ) -> Result<Self, Error> {
        let own = secrets.load_or_make("operator.token")?;
        let mut known = vec![Known {
            actor: Actor {
                name: OPERATOR.into(),
                person: OPERATOR.into(),
                role: Role::Operator,
                owner: None,
            },
            digest: digest(&hex::encode(own)),
            expires: Timestamp::ZERO,
        }];
        // A role of a newer build opens nothing here.
        known.extend(store.tokens()?.iter().filter_map(Known::from_row));
        Ok(Self { store, clock, tokens_max, known: RwLock::new(known) })
    }

    /// Who bears `secret`; none for nobody, also when the token has ended.
    pub fn verify(&self, secret: &str) -> Option<Actor> {
        let digest = digest(secret);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut at = u32::MAX;
        for (i, token) in (0u32..).zip(known.iter()) {
            let same: Choice = token.digest.ct_eq(&digest);
            at.conditional_assign(&i, same);
        }
        let token = known.get(at as usize)?;
        let ended = token.expires != Timestamp::ZERO && token.expires <= self.clock.now();
        (!ended).then(|| token.actor.clone())
    }

    /// Makes a token of `person`, who is named as tokens are, for the links of `owner` alone unless
    /// that is empty, and gives its secret, for the only time.
    ///
    /// # Errors
    /// When the name is unfit or in use, or there are too many tokens. Blocks on the disk.
    pub fn create(
        &self,
        name: &str,
        person: &str,
        role: Role,
        owner: &str,
        expires: Timestamp,
        by: &Actor,
    ) -> Result<String, Error> {
        let fit = |b: u8| b.is_ascii_alphanumeric() || b"._-@".contains(&b);
        let fits = |s: &str| (1..=TOKEN_NAME_MAX).contains(&s.len()) && s.bytes().all(fit);
        if !fits(name) || !fits(person) {
            return Err(Error::BadTokenName);
        }
        if name == OPERATOR {
            return Err(Error::Taken);
        }
        let secret = hex::encode(secret::random()?);
        let row = TokenRow {
            name: name.into(),
            person: person.into(),
            role: role.name().into(),
            owner: owner.into(),
            digest: digest(&secret),
            created: self.clock.now(),
            expires,
            actor: by.name.to_string(),
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() > self.tokens_max {
            return Err(Error::TooManyTokens(self.tokens_max));
        }
        self.store.add_token(&row)?;
        known.extend(Known::from_row(&row));
        Ok(secret)
    }

    /// Ends the token of this name; whether there was one. Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails; the token is then still in force.
    pub fn revoke(&self, name: &str, by: &Actor) -> Result<bool, Error> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let revoked = self.store.revoke_token(name, &by.name, self.clock.now())?;
        if revoked {
            known.retain(|t| *t.actor.name != *name || name == OPERATOR);
        }
        Ok(revoked)
    }

    /// Reads the tokens of the database anew: other nodes make and revoke them too. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// When the database fails; the tokens stay as they were known.
    pub fn read(&self) -> Result<(), Error> {
        let rows = self.store.tokens()?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|t| *t.actor.name == *OPERATOR);
        known.extend(rows.iter().filter_map(Known::from_row));
        Ok(())
    }

    /// Every token of the database that is not revoked. Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list(&self) -> Result<Vec<TokenRow>, Error> {
        self.store.tokens()
    }
}

impl Known {
    fn from_row(row: &TokenRow) -> Option<Self> {
        let role = Role::from_name(&row.role)?;
        let (name, person) = (row.name.as_str().into(), row.person.as_str().into());
        let owner = (!row.owner.is_empty()).then(|| row.owner.as_str().into());
        let actor = Actor { name, person, role, owner };
        Some(Self { actor, digest: row.digest, expires: row.expires })
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
