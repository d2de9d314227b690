//! Names that lead nowhere on the public internet, or to a different place for everyone.

/// Special-purpose names; everything below them counts too. RFC 6761 and its registry (`test`,
/// `localhost`, `invalid`, `example`), RFC 6762 §3 and appendix G (`local` and the private names
/// people use), RFC 7686 (`onion`), RFC 9476 (`alt`), RFC 8375 and the other `arpa` names (the
/// whole of `arpa` is infrastructure), `internal` (ICANN 2024). `example.com`, `.net` and `.org`
/// are in the registry as well, but are real sites and stay usable.
const SPECIAL: [&str; 17] = [
    "alt",
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "mail",
    "onion",
    "private",
    "test",
    "workgroup",
];

/// Whether `name` (lower case, without the trailing dot) is, or lies below, a special-purpose
/// name.
pub(crate) fn is_special(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    SPECIAL.contains(&last)
}
