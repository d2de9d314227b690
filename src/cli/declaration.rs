//! `declaration`: what should be so of a domain, which verdicts hold against what is.

use clap::Subcommand;
use http::Method;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::{client::Api, remote::Action};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Declaration {
    /// Say what should be so of a domain. What was declared before stays; the last counts.
    Set {
        /// The registrable domain.
        domain: String,
        /// A name server. Repeat for several.
        #[arg(long = "nameserver", value_name = "NAME")]
        nameservers: Vec<String>,
        /// A network in which its addresses lie. Repeat for several.
        #[arg(long = "address", value_name = "NETWORK")]
        addresses: Vec<IpNet>,
        /// An autonomous system that announces them. Repeat for several.
        #[arg(long = "asn", value_name = "NUMBER")]
        asns: Vec<u32>,
        /// The registrar, as the registry has it.
        #[arg(long)]
        registrar: Option<String>,
        /// A host to which its names redirect, with all below it. Repeat for several.
        #[arg(long = "target", value_name = "HOST")]
        targets: Vec<String>,
        /// The number of its entry on file (备案).
        #[arg(long, value_name = "NUMBER")]
        icp: Option<String>,
        /// Who holds it, as the registry has it; kept as a digest.
        #[arg(long)]
        holder: Option<String>,
        /// Through when this is so (RFC 3339).
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// List what counts, by domain.
    List {
        /// `next_cursor` of the page before.
        #[arg(long, value_name = "CURSOR", default_value = "")]
        cursor: String,
    },
    /// Declare nothing of a domain any more.
    Withdraw {
        /// The registrable domain.
        domain: String,
    },
}

impl Action for Declaration {
    async fn ask(self, api: &Api) -> anyhow::Result<Value> {
        let all = ["api", "v1", "declarations"];
        match self {
            Self::Set {
                domain,
                nameservers,
                addresses,
                asns,
                registrar,
                targets,
                icp,
                holder,
                until,
            } => {
                let body = json!({
                    "nameservers": nameservers, "addresses": addresses, "asns": asns,
                    "registrar": registrar, "holder": holder, "targets": targets, "icp": icp, "valid_until": until,
                });
                let path = ["api", "v1", "declarations", &domain];
                api.json(Method::POST, &path, &[], Some(&body)).await
            }
            Self::List { cursor } => {
                let query = [("cursor", cursor.as_str())];
                api.json(Method::GET, &all, &query, None).await
            }
            Self::Withdraw { domain } => {
                let path = ["api", "v1", "declarations", &domain];
                api.json(Method::DELETE, &path, &[], None).await
            }
        }
    }
}
