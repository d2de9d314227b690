//! How registries write their WHOIS responses: the words for what is looked at, and for that there
//! is no such domain.

use crate::verify::outcome::words;

words! {
    /// How a registry writes.
    Grammar {
        /// CNNIC: .cn, .中国.
        Cnnic = "cnnic",
        /// What ICANN asks of generic registries and registrars.
        Icann = "icann",
        /// DENIC: .de.
        Denic = "denic",
        /// TCI: .ru, .рф, .su.
        Tci = "tci",
        /// Nominet: .uk.
        Nominet = "nominet",
        /// JPRS: .jp.
        Jprs = "jprs",
        /// Whoever else.
        Generic = "generic",
    }
}

words! {
    /// What a line says.
    Field {
        /// The domain.
        Domain = "domain",
        /// A status.
        Status = "status",
        /// The registrar.
        Registrar = "registrar",
        /// Its number at IANA.
        RegistrarId = "registrar_id",
        /// A name server.
        NameServer = "name_server",
        /// When it was registered.
        Registered = "registered",
        /// When it was changed.
        Changed = "changed",
        /// Through when it is registered.
        Expires = "expires",
        /// Whether the delegation is signed.
        Dnssec = "dnssec",
        /// The holder's name.
        HolderName = "holder_name",
        /// The holder's organisation.
        HolderOrganization = "holder_organization",
        /// The holder's address for mail.
        HolderEmail = "holder_email",
        /// The holder's country.
        HolderCountry = "holder_country",
        /// That there is no such domain.
        Absent = "absent",
    }
}

const CNNIC: &[(&str, Field)] = &[
    ("domain name", Field::Domain),
    ("domain status", Field::Status),
    ("sponsoring registrar", Field::Registrar),
    ("name server", Field::NameServer),
    ("registration time", Field::Registered),
    ("expiration time", Field::Expires),
    ("dnssec", Field::Dnssec),
    ("registrant", Field::HolderName),
    ("registrant contact email", Field::HolderEmail),
];

const ICANN: &[(&str, Field)] = &[
    ("domain name", Field::Domain),
    ("domain status", Field::Status),
    ("registrar", Field::Registrar),
    ("registrar iana id", Field::RegistrarId),
    ("name server", Field::NameServer),
    ("creation date", Field::Registered),
    ("updated date", Field::Changed),
    ("registry expiry date", Field::Expires),
    ("registrar registration expiration date", Field::Expires),
    ("dnssec", Field::Dnssec),
    ("registrant name", Field::HolderName),
    ("registrant organization", Field::HolderOrganization),
    ("registrant email", Field::HolderEmail),
    ("registrant country", Field::HolderCountry),
];

const DENIC: &[(&str, Field)] = &[
    ("domain", Field::Domain),
    ("status", Field::Status),
    ("nserver", Field::NameServer),
    ("dnskey", Field::Dnssec),
    ("changed", Field::Changed),
];

const TCI: &[(&str, Field)] = &[
    ("domain", Field::Domain),
    ("state", Field::Status),
    ("nserver", Field::NameServer),
    ("registrar", Field::Registrar),
    ("created", Field::Registered),
    ("paid-till", Field::Expires),
    ("org", Field::HolderOrganization),
    ("person", Field::HolderName),
];

const NOMINET: &[(&str, Field)] = &[
    ("domain name", Field::Domain),
    ("registrar", Field::Registrar),
    ("registered on", Field::Registered),
    ("expiry date", Field::Expires),
    ("last updated", Field::Changed),
    ("registration status", Field::Status),
    ("name servers", Field::NameServer),
    ("registrant", Field::HolderName),
];

const JPRS: &[(&str, Field)] = &[
    ("domain name", Field::Domain),
    ("name server", Field::NameServer),
    ("signing key", Field::Dnssec),
    ("created on", Field::Registered),
    ("expires on", Field::Expires),
    ("status", Field::Status),
    ("last updated", Field::Changed),
    ("registrant", Field::HolderName),
];

const GENERIC: &[(&str, Field)] = &[
    ("domain name", Field::Domain),
    ("domain", Field::Domain),
    ("domain status", Field::Status),
    ("status", Field::Status),
    ("registrar", Field::Registrar),
    ("sponsoring registrar", Field::Registrar),
    ("registrar iana id", Field::RegistrarId),
    ("name server", Field::NameServer),
    ("nameserver", Field::NameServer),
    ("nserver", Field::NameServer),
    ("creation date", Field::Registered),
    ("created", Field::Registered),
    ("registered", Field::Registered),
    ("registration date", Field::Registered),
    ("updated date", Field::Changed),
    ("changed", Field::Changed),
    ("last-update", Field::Changed),
    ("registry expiry date", Field::Expires),
    ("expiry date", Field::Expires),
    ("expiration date", Field::Expires),
    ("expires", Field::Expires),
    ("paid-till", Field::Expires),
    ("dnssec", Field::Dnssec),
    ("registrant country", Field::HolderCountry),
];

impl Grammar {
    /// The grammar of a server, where that tells.
    pub fn of_server(server: &str) -> Self {
        match server {
            "whois.cnnic.cn" => Self::Cnnic,
            "whois.denic.de" => Self::Denic,
            "whois.tcinet.ru" => Self::Tci,
            "whois.nic.uk" => Self::Nominet,
            "whois.jprs.jp" => Self::Jprs,
            "whois.verisign-grs.com" => Self::Icann,
            _ => Self::Generic,
        }
    }

    /// What is asked of the server about `domain`.
    pub fn question(self, domain: &str) -> String {
        match self {
            Self::Denic => format!("-T dn,ace {domain}\r\n"),
            Self::Jprs => format!("{domain}/e\r\n"),
            _ => format!("{domain}\r\n"),
        }
    }

    /// How far times without a zone are ahead of UTC, in hours.
    pub(super) const fn offset_h(self) -> i8 {
        match self {
            Self::Cnnic => 8,
            Self::Jprs => 9,
            _ => 0,
        }
    }

    /// What a key says.
    pub(super) fn field(self, key: &str) -> Option<Field> {
        let table = match self {
            Self::Cnnic => CNNIC,
            Self::Icann => ICANN,
            Self::Denic => DENIC,
            Self::Tci => TCI,
            Self::Nominet => NOMINET,
            Self::Jprs => JPRS,
            Self::Generic => GENERIC,
        };
        table.iter().find(|(k, _)| *k == key).map(|(_, field)| *field)
    }

    /// Whether a line says that there is no such domain.
    pub(super) fn is_absent(self, line: &str) -> bool {
        let line = line.trim().to_ascii_lowercase();
        match self {
            Self::Cnnic => line.starts_with("no matching record"),
            Self::Icann => {
                line.starts_with("no match for ")
                    || line == "not found"
                    || line.starts_with("domain not found")
                    || line.starts_with("no data found")
                    || line.starts_with("the queried object does not exist")
            }
            Self::Denic => line == "status: free",
            Self::Tci => line.starts_with("no entries found for the selected source"),
            Self::Nominet => line.starts_with("no match for "),
            Self::Jprs => line.starts_with("no match!!"),
            Self::Generic => {
                ["no match", "not found", "no entries found", "no data found", "available"]
                    .iter()
                    .any(|words| line.starts_with(words) || line.ends_with(words))
            }
        }
    }
}
