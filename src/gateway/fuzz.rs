//! Any bytes, thrown at what reads requests: paths, hosts, referrers, languages, hops, forms.

use http::{HeaderMap, HeaderValue, Uri, Version, header};

use super::{
    Language, ahead,
    notice::wanted,
    request::{
        code_and_rest, code_of_path, host, host_name, names_its_host, path, referrer_host,
        user_agent,
    },
    terms::password,
};
use crate::links::is_code;

/// The parts of a request that a library has read before us.
fn request(input: &[u8]) -> Option<(Uri, HeaderMap)> {
    let mut parts = input.split(|b| *b == b'\n');
    let uri = Uri::try_from(parts.next()?).ok()?;
    let mut headers = HeaderMap::new();
    let names = [
        header::HOST,
        header::REFERER,
        header::ACCEPT_LANGUAGE,
        header::USER_AGENT,
        header::HeaderName::from_static(ahead::HOP),
    ];
    for (i, part) in parts.take(20).enumerate() {
        if let Ok(value) = HeaderValue::from_bytes(part) {
            headers.append(names[i % names.len()].clone(), value);
        }
    }
    Some((uri, headers))
}

#[test]
fn fuzz_requests() {
    bolero::check!().with_iterations(20_000).with_max_len(512).for_each(|input: &[u8]| {
        let Some((uri, headers)) = request(input) else { return };
        if let Some((code, _)) = code_and_rest(uri.path()) {
            assert!(is_code(code) && uri.path().starts_with(&format!("/{code}")));
        }
        if let Some(code) = code_of_path(uri.path()) {
            assert_eq!(code_and_rest(uri.path()), Some((code, None)));
        }
        let kept =
            [path(&uri), host(&uri, &headers), referrer_host(&headers), user_agent(&headers)];
        assert!(kept.iter().all(|text| text.len() <= 1024));
        assert!(!referrer_host(&headers).contains(['/', '@', '?', '#']));
        if names_its_host(Version::HTTP_11, &headers) {
            let root = Uri::from_static("/");
            let named = host_name(host(&root, &headers));
            assert!(!named.contains(['/', '@', '?', '#', ' ', '\\']));
        }
        ahead::hop(&headers);
        Language::asked(&uri, &headers);
        wanted(&uri);
    });
}

#[test]
fn fuzz_forms() {
    bolero::check!().with_iterations(20_000).with_max_len(8_192).for_each(|form: &[u8]| {
        if let Some(given) = password(form) {
            // Each byte of a form makes at most one character, of at most three bytes.
            assert!(given.len() <= 3 * form.len());
        }
    });
}
