//! `link`: conversions, through the API, so that each is recorded like any other.

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

use super::{client::Api, remote::Action};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Link {
    /// Convert a URL into a short one.
    Create {
        /// Where the link leads.
        url: String,
        /// The code wanted, instead of a generated one.
        #[arg(long)]
        code: Option<String>,
        /// When it ends, as 2030-01-31T12:00:00Z.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Whose link it is.
        #[arg(long)]
        owner: Option<String>,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Show a link and its revisions.
    Show {
        /// Its code.
        code: String,
    },
    /// Lead a link elsewhere.
    Edit {
        /// Its code.
        code: String,
        /// Where it leads from now on.
        url: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Stop a link.
    Disable {
        /// Its code.
        code: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Let a stopped link go on.
    Enable {
        /// Its code.
        code: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
}

impl Action for Link {
    async fn ask(self, api: &Api) -> anyhow::Result<Value> {
        let (method, code, body) = self.request();
        let mut path = vec!["api", "v1", "links"];
        path.extend(code.as_deref());
        api.json(method, &path, &[], body.as_ref()).await
    }
}

impl Link {
    /// Method, code and body.
    fn request(self) -> (Method, Option<String>, Option<Value>) {
        match self {
            Self::Create { url, code, expires, owner, reason } => {
                let rest = [("code", code), ("expires", expires), ("owner", owner)];
                (Method::POST, None, Some(body("target", &url, rest, reason)))
            }
            Self::Show { code } => (Method::GET, Some(code), None),
            Self::Edit { code, url, reason } => {
                (Method::PATCH, Some(code), Some(body("target", &url, [], reason)))
            }
            Self::Disable { code, reason } => {
                (Method::PATCH, Some(code), Some(body("state", "disabled", [], Some(reason))))
            }
            Self::Enable { code, reason } => {
                (Method::PATCH, Some(code), Some(body("state", "enabled", [], reason)))
            }
        }
    }
}

/// What is given, and nothing else: what is absent stays as it is.
fn body<const N: usize>(
    name: &str,
    value: &str,
    rest: [(&str, Option<String>); N],
    reason: Option<String>,
) -> Value {
    let mut body = Map::new();
    body.insert(name.to_owned(), json!(value));
    for (name, value) in rest.into_iter().chain([("reason", reason)]) {
        body.extend(value.map(|v| (name.to_owned(), json!(v))));
    }
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_sent() {
        let action = Link::Create {
            url: "https://www.demo.test/".into(),
            code: None,
            expires: None,
            owner: Some("shop".into()),
            reason: None,
        };
        let (method, code, body) = action.request();
        assert_eq!((method, code), (Method::POST, None));
        let expected = json!({ "target": "https://www.demo.test/", "owner": "shop" });
        assert_eq!(body, Some(expected));
        let action = Link::Disable { code: "abc".into(), reason: "fraud".into() };
        let (method, code, body) = action.request();
        assert_eq!((method, code.as_deref()), (Method::PATCH, Some("abc")));
        assert_eq!(body, Some(json!({ "state": "disabled", "reason": "fraud" })));
    }
}
