//! One order: from the host's name to its key and certificate.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCertificate {
    /// The authority refuses, or cannot be asked.
    #[error("{0}")]
    Authority(#[from] Error),
    /// It looked for our answer, and did not find it.
    #[error("the authority could not verify the host: {0}")]
    NotVerified(String),
    /// It wants to verify the host in another way than by HTTP.
    #[error("the authority does not verify this host over HTTP (http-01)")]
    NoHttp,
}

/// Orders a certificate for `host`, waiting at most `wait` for each of its steps: the key and the
/// chain in PEM.
pub(super) async fn order(
    account: &Account,
    host: &str,
    wait: Duration,
) -> Result<String, NoCertificate> {
    let identifiers = [Identifier::Dns(host.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let challenge = authorization.challenge(ChallengeType::Http01);
        challenge.ok_or(NoCertificate::NoHttp)?.set_ready().await?;
    }
    let patience = RetryPolicy::new().timeout(wait);
    if order.poll_ready(&patience).await? != OrderStatus::Ready {
        return Err(NoCertificate::NotVerified(why(&mut order).await));
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&patience).await?;
    Ok(format!("{}\n{}\n", key.trim_end(), chain.trim_end()))
}

/// What the authority says of the challenges that failed.
async fn why(order: &mut Order) -> String {
    let mut said = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let errors = state.challenges.iter().filter_map(|c| c.error.as_ref());
        said.extend(errors.map(|e| e.detail.clone().unwrap_or_else(|| e.to_string())));
    }
    if said.is_empty() { "it does not say why".to_owned() } else { said.join("; ") }
}
