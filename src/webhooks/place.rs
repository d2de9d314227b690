//! Where an endpoint may be.

use url::Url;

use super::URL_BYTES_MAX;
use crate::fetch::Allowed;

/// Why an endpoint cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlace {
    /// It is none, or too long.
    #[error("an https URL of at most {URL_BYTES_MAX} bytes, without user info and fragment")]
    Url,
    /// It is not public, and the configuration does not name it.
    #[error(
        "the host is not public; webhooks.allowed_hosts names those that are told all the same"
    )]
    NotPublic,
}

/// The URL of an endpoint in its WHATWG serialisation. Addresses of names are checked at every attempt.
///
/// # Errors
/// When nobody may be told there.
pub fn place(text: &str, allowed_hosts: &[String]) -> Result<String, BadPlace> {
    let url = Url::parse(text).map_err(|_| BadPlace::Url)?;
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let host = url.host().filter(|_| bare && url.scheme() == "https").ok_or(BadPlace::Url)?;
    if url.as_str().len() > URL_BYTES_MAX {
        return Err(BadPlace::Url);
    }
    Allowed::new(allowed_hosts).host(&host.to_owned()).map_err(|_| BadPlace::NotPublic)?;
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_public_and_https() {
        let of = |text: &str| place(text, &["hooks.internal".into(), "10.0.0.0/8".into()]);
        assert_eq!(of("HTTPS://Example.com"), Ok("https://example.com/".into()));
        assert_eq!(
            of("https://hooks.internal:8443/a?b"),
            Ok("https://hooks.internal:8443/a?b".into())
        );
        assert_eq!(of("https://10.1.2.3/"), Ok("https://10.1.2.3/".into()));
        for bad in
            ["http://example.com/", "https://a:b@example.com/", "https://example.com/#a", "x"]
        {
            assert_eq!(of(bad), Err(BadPlace::Url), "{bad}");
        }
        for inside in
            ["https://localhost/", "https://127.0.0.1/", "https://db.internal/", "https://[::1]/"]
        {
            assert_eq!(of(inside), Err(BadPlace::NotPublic), "{inside}");
        }
        let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX));
        assert_eq!(of(&long), Err(BadPlace::Url));
    }

    #[test]
    fn fuzz() {
        bolero::check!().with_iterations(20_000).with_type::<String>().for_each(|text| {
            let text = format!("https://{text}");
            if let Ok(url) = place(&text, &[]) {
                assert_eq!(place(&url, &[]), Ok(url.clone()), "a serialisation is its own");
                assert!(url.is_ascii() && !url.contains(['\r', '\n', ' ']));
            }
        });
    }
}
