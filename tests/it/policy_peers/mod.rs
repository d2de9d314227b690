//! The same zones and the same questions at BIND, Unbound, PowerDNS Recursor and ours.
//!
//! Where they disagree with us, [`DECISIONS`] says what we do and why; zones/README.md says the same
//! to people. A disagreement that is not in the table fails, and so does a row without one.

mod generated;
mod peers;
mod world;

use std::{collections::BTreeSet, net::Ipv4Addr};

use peers::{Parties, Question, Zone};

const A: u16 = 1;
const CNAME: u16 = 5;
const TXT: u16 = 16;
const AAAA: u16 = 28;

/// A disagreement that we chose.
struct Decision {
    /// Who disagrees with us.
    parties: &'static [&'static str],
    /// About which names.
    names: &'static str,
    /// And which types.
    types: &'static [u16],
    why: &'static str,
}

const DECISIONS: &[Decision] = &[
    Decision {
        parties: &["bind"],
        names: "x.m.ent.zz m.ent.zz x.er.m.ent.zz x.deep.er.m.ent.zz x.ok.pass.zz",
        types: &[A, AAAA, TXT, CNAME],
        why: "a rule further down, or the empty name it makes, hides a wildcard from BIND: one line \
              added to a list would lift another's block",
    },
    Decision {
        parties: &["unbound"],
        names: "x.deep.er.m.ent.zz x.ok.pass.zz",
        types: &[A, AAAA, TXT, CNAME],
        why: "the same at Unbound, but for empty names",
    },
    Decision {
        parties: &["unbound"],
        names: "garden.zz x.wgarden.zz",
        types: &[CNAME],
        why: "Unbound shows `*.garden.zz` itself to who asks for CNAME",
    },
    Decision {
        parties: &["recursor"],
        names: "to-target_zz.zz to-tnodata_zz.zz via-target_zz.zz via-tnodata_zz.zz to-a_wild_zz.zz",
        types: &[A, AAAA, TXT],
        why: "the recursor leaves the chain out in front of a negative answer; we keep it, as BIND",
    },
    Decision { parties: &["recursor"], names: "to-ip66_zz.zz", types: &[A, AAAA], why: "the same" },
    Decision { parties: &["recursor"], names: "to-ip6_zz.zz", types: &[AAAA], why: "the same" },
    Decision {
        parties: &["unbound"],
        names: "via-target_zz.zz via-tdata_zz.zz via-talias_zz.zz via-tnodata_zz.zz",
        types: &[A, AAAA, TXT],
        why: "Unbound looks at the first alias of a response only: a listed name behind two passes",
    },
    Decision {
        parties: &["recursor", "unbound"],
        names: "ip70.two.zz",
        types: &[A],
        why: "an address rule of the first zone comes before a name rule of the second (RPZ §5.2)",
    },
    Decision { parties: &["unbound"], names: "ip66.two.zz", types: &[A, AAAA], why: "the same" },
    Decision {
        parties: &["recursor"],
        names: "to-target_zz.two.zz",
        types: &[A, AAAA, TXT],
        why: "the position in the chain comes before the order of zones (RPZ §5.1)",
    },
    Decision {
        parties: &["recursor"],
        names: "to-ip75_zz.zz to-ip76_zz.zz",
        types: &[A],
        why: "a rule without data of the type asked is NODATA, by address as by name",
    },
    Decision {
        parties: &["unbound"],
        names: "data.zz@127.0.0.8",
        types: &[A],
        why: "a rule for the client comes before one for the name (RPZ §5.3)",
    },
];

fn q(name: &str, qtype: u16) -> Question {
    Question { name: name.into(), qtype, client: Ipv4Addr::LOCALHOST }
}

fn zone(name: &'static str, text: &str) -> Zone {
    let rules = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned);
    Zone { name, rules: rules.collect() }
}

/// The first zone of the cases.
fn first() -> Zone {
    zone(
        "one",
        "nx1.exact.zz CNAME .
         *.wild.zz CNAME .
         *.ent.zz CNAME .
         deep.er.m.ent.zz CNAME .
         nodata.zz CNAME *.
         *.pass.zz CNAME .
         ok.pass.zz CNAME rpz-passthru.
         drop.zz CNAME rpz-drop.
         tcp.zz CNAME rpz-tcp-only.
         data.zz A 203.0.113.1
         data.zz A 203.0.113.2
         data.zz TXT \"hello\"
         *.wdata.zz A 203.0.113.3
         alias.zz CNAME safe.zz.
         toalias.zz CNAME to-safe_zz.zz.
         garden.zz CNAME *.garden.zz.
         *.wgarden.zz CNAME *.garden.zz.
         both.zz CNAME rpz-passthru.
         target.zz CNAME .
         tdata.zz A 203.0.113.4
         tnodata.zz CNAME *.
         talias.zz CNAME safe.zz.
         tpass.zz CNAME rpz-passthru.
         32.66.2.0.192.rpz-ip CNAME .
         28.64.2.0.192.rpz-ip CNAME *.
         32.70.2.0.192.rpz-ip A 203.0.113.5
         32.71.2.0.192.rpz-ip CNAME rpz-passthru.
         32.72.2.0.192.rpz-ip CNAME safe.zz.
         32.75.2.0.192.rpz-ip AAAA 2001:db8:ff::75
         32.76.2.0.192.rpz-ip TXT \"other\"
         128.6.zz.db8.2001.rpz-ip CNAME .
         32.9.0.0.127.rpz-client-ip CNAME .
         32.8.0.0.127.rpz-client-ip CNAME rpz-passthru.
         32.7.0.0.127.rpz-client-ip CNAME rpz-drop.
         32.6.0.0.127.rpz-client-ip CNAME rpz-tcp-only.
         32.5.0.0.127.rpz-client-ip A 203.0.113.6
         nxlocal.zz A 203.0.113.7
         v6only.zz A 203.0.113.8",
    )
}

/// The second.
fn second() -> Zone {
    zone(
        "two",
        "both.zz CNAME .
         only2.zz CNAME .
         ip70.two.zz CNAME .
         ip66.two.zz CNAME rpz-passthru.
         to-target_zz.two.zz CNAME rpz-passthru.
         *.exact.zz CNAME *.
         32.71.2.0.192.rpz-ip CNAME .",
    )
}

const NAMES: &str = "plain.zz nx1.exact.zz sub.nx1.exact.zz other.exact.zz wild.zz a.wild.zz a.b.wild.zz \
    x.m.ent.zz m.ent.zz x.er.m.ent.zz deep.er.m.ent.zz x.deep.er.m.ent.zz y.ent.zz nodata.zz bad.pass.zz \
    ok.pass.zz x.ok.pass.zz drop.zz tcp.zz data.zz x.wdata.zz alias.zz toalias.zz garden.zz x.wgarden.zz \
    both.zz only2.zz to-target_zz.zz to-tdata_zz.zz to-tnodata_zz.zz to-talias_zz.zz to-tpass_zz.zz \
    via-target_zz.zz via-tdata_zz.zz via-talias_zz.zz via-tnodata_zz.zz ip6.zz to-ip6_zz.zz ip66.zz \
    ip65.zz ip70.zz ip71.zz ip72.zz ip75.zz ip76.zz to-ip75_zz.zz to-ip76_zz.zz two66.zz two70.zz to-ip66_zz.zz to-ip70_zz.zz nxlocal.zz nx.zz \
    to-nx_zz.zz ip70.two.zz ip66.two.zz to-target_zz.two.zz v6only.zz to-wild_zz.zz to-a_wild_zz.zz";

/// Everybody who disagrees with us, and about what.
fn disagreements(parties: &Parties, questions: &[Question]) -> BTreeSet<(String, String)> {
    let said = parties.ask(questions);
    let ours = &said["tracegate"];
    let mut all = BTreeSet::new();
    for (party, theirs) in &said {
        for ((q, ours), theirs) in questions.iter().zip(ours).zip(theirs) {
            if ours != theirs {
                eprintln!("{q}: {ours}\n    {party}: {theirs}");
                all.insert(((*party).to_owned(), q.to_string()));
            }
        }
    }
    all
}

#[test]
fn the_cases_of_the_specification_as_the_table_says() {
    let mut questions = Vec::new();
    for name in NAMES.split_whitespace() {
        questions.extend([A, AAAA, TXT, CNAME].map(|qtype| q(name, qtype)));
    }
    for client in 5..=9 {
        let client = Ipv4Addr::new(127, 0, 0, client);
        let names = ["plain.zz", "data.zz", "ok.pass.zz", "nx1.exact.zz"];
        questions.extend(names.map(|name| Question { client, ..q(name, A) }));
    }
    let parties = Parties::start(&[first(), second()], &["bind", "unbound", "recursor"]);
    let mut chosen = BTreeSet::new();
    for d in DECISIONS {
        assert!(!d.why.is_empty());
        for (party, name) in
            d.parties.iter().flat_map(|p| d.names.split_whitespace().map(move |n| (*p, n)))
        {
            let (name, client) = name.split_once('@').unwrap_or((name, "127.0.0.1"));
            let client = client.parse().unwrap();
            let of = |qtype: &u16| Question { client, ..q(name, *qtype) }.to_string();
            chosen.extend(d.types.iter().map(|t| (party.to_owned(), of(t))));
        }
    }
    let found = disagreements(&parties, &questions);
    let (new, gone): (Vec<_>, Vec<_>) =
        (found.difference(&chosen).collect(), chosen.difference(&found).collect());
    assert!(new.is_empty() && gone.is_empty(), "not in the table: {new:?}; not found: {gone:?}");
}

#[test]
fn silence_and_truncation_behind_an_alias() {
    // Unbound 1.17.1 dies of some of these.
    let zone = zone(
        "one",
        "tdrop.zz CNAME rpz-drop.
         ttcp.zz CNAME rpz-tcp-only.
         32.73.2.0.192.rpz-ip CNAME rpz-drop.
         32.74.2.0.192.rpz-ip CNAME rpz-tcp-only.",
    );
    let names = "tdrop.zz ttcp.zz to-tdrop_zz.zz to-ttcp_zz.zz via-tdrop_zz.zz via-ttcp_zz.zz ip73.zz \
        ip74.zz to-ip73_zz.zz to-ip74_zz.zz plain.zz";
    let questions: Vec<_> = names.split_whitespace().map(|n| q(n, A)).collect();
    let parties = Parties::start(&[zone], &["bind", "recursor"]);
    assert_eq!(disagreements(&parties, &questions), BTreeSet::new());
}
