//! The statuses of a domain: those of RDAP (RFC 9083 §10.2.2, RFC 8056), under which those of EPP
//! (RFC 5731 §2.3) and the words of registries are read.

use crate::verify::outcome::words;

words! {
    /// A status of a domain.
    Status {
        /// Nothing is in its way.
        Active = "active",
        /// No name servers are set.
        Inactive = "inactive",
        /// Its data are locked.
        Locked = "locked",
        /// Its data were validated.
        Validated = "validated",
        /// The registrar took it out of the DNS.
        ClientHold = "client hold",
        /// The registry took it out of the DNS.
        ServerHold = "server hold",
        /// The registrar forbids deletion.
        ClientDeleteProhibited = "client delete prohibited",
        /// The registrar forbids renewal.
        ClientRenewProhibited = "client renew prohibited",
        /// The registrar forbids transfer.
        ClientTransferProhibited = "client transfer prohibited",
        /// The registrar forbids change.
        ClientUpdateProhibited = "client update prohibited",
        /// The registry forbids deletion.
        ServerDeleteProhibited = "server delete prohibited",
        /// The registry forbids renewal.
        ServerRenewProhibited = "server renew prohibited",
        /// The registry forbids transfer.
        ServerTransferProhibited = "server transfer prohibited",
        /// The registry forbids change.
        ServerUpdateProhibited = "server update prohibited",
        /// It was registered days ago and can be given back.
        AddPeriod = "add period",
        /// It was renewed by itself after its end.
        AutoRenewPeriod = "auto renew period",
        /// It was renewed days ago.
        RenewPeriod = "renew period",
        /// It was transferred days ago.
        TransferPeriod = "transfer period",
        /// It is being made.
        PendingCreate = "pending create",
        /// It is about to be deleted.
        PendingDelete = "pending delete",
        /// It is being renewed.
        PendingRenew = "pending renew",
        /// It is being restored.
        PendingRestore = "pending restore",
        /// It is being transferred.
        PendingTransfer = "pending transfer",
        /// It is being changed.
        PendingUpdate = "pending update",
        /// It was deleted, and its holder can have it back.
        RedemptionPeriod = "redemption period",
        /// It is associated with others.
        Associated = "associated",
        /// Parts of it are withheld.
        Removed = "removed",
        /// It is proxied.
        Proxy = "proxy",
        /// It is private.
        Private = "private",
        /// It is obscured.
        Obscured = "obscured",
        /// It is administratively held.
        Administrative = "administrative",
        /// It is reserved.
        Reserved = "reserved",
    }
}

impl Status {
    /// A status in whatever form: `clientHold`, `client hold`, `client-hold`, with or without the
    /// URL that ICANN has behind it.
    pub fn read(text: &str) -> Option<Self> {
        let word = text.trim();
        let word = match word.split_once(" http") {
            Some((word, _)) => word,
            None => word.split_once(" (http").map_or(word, |(word, _)| word),
        };
        let plain = |t: &str| -> String {
            t.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
        };
        let wanted = plain(word);
        match wanted.as_str() {
            "ok" => return Some(Self::Active),
            "autorenewgraceperiod" | "autorenewgrace" => return Some(Self::AutoRenewPeriod),
            _ => {}
        }
        Self::ALL.iter().copied().find(|s| plain(s.name()) == wanted)
    }

    /// Whether the domain is on its way out.
    pub const fn is_dying(self) -> bool {
        matches!(self, Self::PendingDelete | Self::RedemptionPeriod | Self::PendingRestore)
    }

    /// Whether the domain is kept out of the DNS.
    pub const fn is_hold(self) -> bool {
        matches!(self, Self::ClientHold | Self::ServerHold)
    }

    /// Whether it stops somebody from taking the domain away.
    pub const fn is_lock(self) -> bool {
        matches!(
            self,
            Self::Locked
                | Self::ClientDeleteProhibited
                | Self::ClientTransferProhibited
                | Self::ClientUpdateProhibited
                | Self::ServerDeleteProhibited
                | Self::ServerTransferProhibited
                | Self::ServerUpdateProhibited
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_in_every_form() {
        for (text, expected) in [
            ("ok", Some(Status::Active)),
            ("clientHold https://icann.org/epp#clientHold", Some(Status::ClientHold)),
            ("client hold", Some(Status::ClientHold)),
            (
                "serverTransferProhibited (https://icann.org/epp)",
                Some(Status::ServerTransferProhibited),
            ),
            ("redemptionPeriod", Some(Status::RedemptionPeriod)),
            ("pending delete", Some(Status::PendingDelete)),
            ("dancing", None),
            ("", None),
        ] {
            assert_eq!(Status::read(text), expected, "{text}");
        }
    }
}
