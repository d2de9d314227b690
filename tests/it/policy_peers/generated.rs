//! Zones and questions made by chance, of what everybody agrees about.

use std::{collections::BTreeSet, net::Ipv4Addr};

use super::{A, AAAA, TXT};
use crate::policy_peers::peers::{Parties, Question, Zone};

/// Numbers by chance, the same for one seed (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// What a rule may do; `%` is a number of its own.
const ACTIONS: [&str; 8] = [
    "CNAME .",
    "CNAME *.",
    "CNAME rpz-passthru.",
    "A 203.0.113.%",
    "AAAA 2001:db8:ff::%",
    "TXT \"rule %\"",
    "CNAME safe%.zz.",
    "CNAME *.garden.zz.",
];

const ZONES: [&str; 3] = ["one", "two", "three"];
const RULES: u64 = 60;
const QUESTIONS: u64 = 400;

/// Three zones. Names are of a small world, so that zones overlap. Left out is what the table of
/// decisions is about: rules below wildcards, names behind two aliases, and address rules in any
/// zone but the last.
fn zones(chance: &mut Chance) -> Vec<Zone> {
    let mut all = Vec::new();
    for name in ZONES {
        let (mut rules, mut owners) = (Vec::new(), BTreeSet::new());
        for i in 0..RULES {
            let n = chance.below(30);
            let owner = match chance.below(5) {
                0 => format!("*.w{n}.zz"),
                1 => format!("a.d{n}.zz"),
                2 if name == "three" => format!("32.{}.2.0.192.rpz-ip", 100 + n),
                _ => format!("n{n}.zz"),
            };
            if owners.insert(owner.clone()) {
                // Data of another type than an address' is one of the table's rows.
                let actions = if owner.ends_with("rpz-ip") { &ACTIONS[..4] } else { &ACTIONS[..] };
                let action = chance.of(actions).replace('%', &(1 + i).to_string());
                rules.push(format!("{owner} {action}"));
            }
        }
        all.push(Zone { name, rules });
    }
    all
}

fn questions(chance: &mut Chance) -> Vec<Question> {
    let mut all = BTreeSet::new();
    for _ in 0..QUESTIONS {
        let n = chance.below(30);
        let name = match chance.below(9) {
            0 => format!("w{n}.zz"),
            1 => format!("x.w{n}.zz"),
            2 => format!("x.y.w{n}.zz"),
            3 => format!("a.d{n}.zz"),
            4 => format!("d{n}.zz"),
            5 => format!("ip{}.zz", 100 + n),
            6 => format!("to-n{n}_zz.zz"),
            7 => format!("to-ip{}_zz.zz", 100 + n),
            _ => format!("n{n}.zz"),
        };
        all.insert((name, *chance.of(&[A, A, AAAA, TXT])));
    }
    let client = Ipv4Addr::LOCALHOST;
    all.into_iter().map(|(name, qtype)| Question { name, qtype, client }).collect()
}

/// Whether what a party says agrees with what we say, by the table of decisions.
fn agrees(party: &str, q: &Question, ours: &str, theirs: &str) -> bool {
    let behind_an_alias = q.name.starts_with("to-");
    let only_aliases = ours.matches(" CNAME ").count() * 3 == ours.matches(' ').count();
    match party {
        // Whether it looks behind an alias depends on what its cache holds, and what an answer
        // triggers has `*.garden` itself as its alias.
        "unbound" if behind_an_alias || ours.contains("garden") => true,
        // CNAME . and CNAME *. take the chain in front of them away.
        "recursor" if behind_an_alias && only_aliases && !theirs.contains(' ') => {
            ours.split(' ').next() == Some(theirs)
        }
        _ => ours == theirs,
    }
}

#[test]
fn zones_made_by_chance_are_enforced_alike() {
    let mut chance = Chance(0x7261_6365_6761_7465);
    for round in 0..2 {
        let (zones, questions) = (zones(&mut chance), questions(&mut chance));
        assert!(questions.len() > 200);
        let parties = Parties::start(&zones, &["bind", "unbound", "recursor"]);
        let said = parties.ask(&questions);
        for (i, q) in questions.iter().enumerate() {
            for (party, theirs) in &said {
                let (ours, theirs) = (&said["tracegate"][i], &theirs[i]);
                let agreed = agrees(party, q, ours, theirs);
                assert!(
                    agreed,
                    "round {round}: {q} at {party}: {theirs}\nours: {ours}\n{zones:#?}"
                );
            }
        }
    }
}
