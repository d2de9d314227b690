//! Texts as registries write them; the holders in them are made up.

use super::*;

fn stripped(text: &str, grammar: Grammar, domain: &str) -> Result<String, BadWhois> {
    strip(text, grammar, domain, &Stripper::new([1; 32]))
}

fn registered(text: &str, grammar: Grammar, domain: &str) -> (Registration, Grade) {
    let kept = stripped(text, grammar, domain).unwrap();
    for person in ["Zhang", "Doe", "@"] {
        assert!(!kept.contains(person), "{kept}");
    }
    match read(kept.as_bytes(), domain).unwrap() {
        (Said::Registered(found), grade) => (*found, grade),
        (other, _) => panic!("{other:?}"),
    }
}

fn servers(found: &Registration) -> Vec<&str> {
    found.nameservers.iter().map(String::as_str).collect()
}

#[test]
fn cnnic() {
    let text = "Domain Name: example.cn\r\nROID: 20030310s10001s00013064-cn\r\n\
                Domain Status: clientTransferProhibited\r\nRegistrant: Zhang San\r\n\
                Registrant Contact Email: zhang@example.cn\r\n\
                Sponsoring Registrar: Example Registrar Ltd.\r\nName Server: NS1.example.cn\r\n\
                Name Server: ns2.example.cn\r\nRegistration Time: 2003-03-17 12:20:05\r\n\
                Expiration Time: 2027-03-17 12:48:36\r\nDNSSEC: unsigned\r\n";
    let (found, grade) = registered(text, Grammar::Cnnic, "example.cn");
    assert_eq!(grade, Grade::B);
    assert_eq!(servers(&found), ["ns1.example.cn", "ns2.example.cn"]);
    assert_eq!(found.registered, Some("2003-03-17T04:20:05Z".parse().unwrap()));
    assert_eq!(found.expires, Some("2027-03-17T04:48:36Z".parse().unwrap()));
    assert!(found.statuses.contains(&Status::ClientTransferProhibited));
    assert_eq!(found.registrar.unwrap().name, "Example Registrar Ltd.");
    assert_eq!(found.is_signed, Some(false));
    assert_eq!(found.registrant["name_digest"], Stripper::new([1; 32]).digest("zhang san"));
    assert_eq!(registered(text, Grammar::Cnnic, "example.cn").0.domain, "example.cn");
    assert_eq!(stripped(text, Grammar::Cnnic, "other.cn"), Err(BadWhois::Another));
    let kept = stripped("No matching record.\r\n", Grammar::Cnnic, "example.cn").unwrap();
    assert_eq!(read(kept.as_bytes(), "example.cn"), Ok((Said::Absent, Grade::B)));
}

#[test]
fn icann() {
    let text = "   Domain Name: EXAMPLE.COM\r\n   Registry Domain ID: 2336799_DOMAIN_COM-VRSN\r\n   \
                Updated Date: 2024-08-14T07:01:34Z\r\n   Creation Date: 1995-08-14T04:00:00Z\r\n   \
                Registry Expiry Date: 2027-08-13T04:00:00Z\r\n   Registrar: Example Inc.\r\n   \
                Registrar IANA ID: 376\r\n   \
                Domain Status: clientHold https://icann.org/epp#clientHold\r\n   \
                Name Server: A.IANA-SERVERS.NET\r\n   DNSSEC: signedDelegation\r\n   \
                DNSSEC DS Data: 370 13 2 BE74359954660069D5C6\r\n>>> Last update <<<\r\n\
                Registrant Organization: Doe Ltd\r\n";
    let (found, grade) =
        registered(text, Grammar::of_server("whois.verisign-grs.com"), "example.com");
    assert_eq!((grade, found.is_signed), (Grade::B, Some(true)));
    assert_eq!(found.registrar.unwrap().iana_id, Some(376));
    assert!(found.statuses.contains(&Status::ClientHold));
    assert_eq!(found.changed, Some("2024-08-14T07:01:34Z".parse().unwrap()));
}

#[test]
fn others_by_their_own_grammar() {
    let de = "Domain: example.de\nNserver: ns1.example.de 192.0.2.1\nStatus: connect\n\
              Changed: 2022-08-12T13:31:17+02:00\n";
    let (found, _) = registered(de, Grammar::Denic, "example.de");
    assert_eq!(servers(&found), ["ns1.example.de"]);
    let free =
        stripped("Domain: example.de\nStatus: free\n", Grammar::Denic, "example.de").unwrap();
    assert_eq!(read(free.as_bytes(), "example.de"), Ok((Said::Absent, Grade::B)));

    let ru = "domain:        EXAMPLE.RU\nnserver:       ns1.example.ru. 192.0.2.1\n\
              state:         REGISTERED, NOT DELEGATED, VERIFIED\nperson:        Jane Doe\n\
              registrar:     RU-CENTER-RU\ncreated:       1997-09-23T09:45:07Z\n\
              paid-till:     2027-09-30T21:00:00Z\n";
    let (found, _) = registered(ru, Grammar::Tci, "example.ru");
    assert!(found.statuses.contains(&Status::Inactive) && found.expires.is_some());

    let uk = "    Domain name:\n        example.co.uk\n\n    Registrant:\n        Jane Doe\n\n    \
              Registrar:\n        Example Ltd [Tag = EXAMPLE]\n        URL: https://example.com\n\n    \
              Relevant dates:\n        Registered on: 26-Nov-1996\n        \
              Expiry date:  26-Nov-2027\n\n    Registration status:\n        \
              Registered until expiry date.\n\n    Name servers:\n        \
              ns1.example.co.uk  192.0.2.1\n        ns2.example.co.uk\n\n    \
              WHOIS lookup made at 10:00\n";
    let (found, _) = registered(uk, Grammar::Nominet, "example.co.uk");
    assert_eq!(servers(&found), ["ns1.example.co.uk", "ns2.example.co.uk"]);
    assert_eq!(found.expires, Some("2027-11-26T00:00:00Z".parse().unwrap()));

    let jp = "[Domain Name]                   EXAMPLE.JP\n\n[Registrant]                    Jane Doe\n\
              [Name Server]                   ns1.example.jp\n[Signing Key]\n\n\
              [Created on]                    2001/02/22\n[Expires on]                    2027/02/28\n\
              [Status]                        Active\n\
              [Last Updated]                  2024/03/01 01:05:03 (JST)\n";
    let (found, _) = registered(jp, Grammar::Jprs, "example.jp");
    assert_eq!(servers(&found), ["ns1.example.jp"]);
    assert_eq!(found.changed, Some("2024-02-29T16:05:03Z".parse().unwrap()));
    assert_eq!(Grammar::Jprs.question("example.jp"), "example.jp/e\r\n");
}

#[test]
fn what_nobody_read_before_is_graded_lower_and_never_absent() {
    let text = "domain: example.xx\nstatus: active\nnserver: ns1.example.xx\nexpires: 2027-01-01\n";
    let (found, grade) = registered(text, Grammar::Generic, "example.xx");
    assert_eq!((grade, servers(&found)), (Grade::D, vec!["ns1.example.xx"]));
    let kept = stripped("No match for example.xx\n", Grammar::Generic, "example.xx").unwrap();
    assert_eq!(read(kept.as_bytes(), "example.xx"), Ok((Said::Perhaps, Grade::D)));
    for (text, expected) in [
        ("Query rate limit exceeded. Try again later.", BadWhois::Limited),
        ("Number of allowed queries exceeded", BadWhois::Limited),
        ("<html><body>hello</body></html>", BadWhois::Unclear),
        ("", BadWhois::Unclear),
    ] {
        for grammar in Grammar::ALL {
            assert_eq!(stripped(text, *grammar, "example.xx"), Err(expected), "{grammar:?} {text}");
        }
    }
}
