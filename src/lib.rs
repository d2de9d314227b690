//! tracegate resolves names, converts links and carries visitors across them, and can prove
//! afterwards what it did.

pub mod clock;
pub mod config;
pub mod record;
