//! Places at which anybody may take a name that its last holder gave up. Where an alias leads to a
//! missing name there, whoever takes it speaks for the alias: suspected, until somebody has tried.
//!
//! The services are those whose given up names do not exist in the DNS; where a page says so, nothing
//! here tells.

/// The ends of names that services give to whoever asks for them.
const SERVICES: [&str; 20] = [
    "azureedge.net",
    "azurewebsites.net",
    "azure-api.net",
    "azurecontainer.io",
    "azurefd.net",
    "azurehdinsight.net",
    "azurestaticapps.net",
    "blob.core.windows.net",
    "cloudapp.azure.com",
    "cloudapp.net",
    "database.windows.net",
    "elasticbeanstalk.com",
    "file.core.windows.net",
    "redis.cache.windows.net",
    "search.windows.net",
    "servicebus.windows.net",
    "table.core.windows.net",
    "trafficmanager.net",
    "visualstudio.com",
    "web.core.windows.net",
];

/// The service that gave out a name, where it is one of those.
pub(super) fn service(name: &str) -> Option<&'static str> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    SERVICES.into_iter().find(|end| name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_known_by_whole_labels() {
        assert_eq!(service("Shop.AzureWebsites.net"), Some("azurewebsites.net"));
        assert_eq!(service("azurewebsites.net"), None);
        assert_eq!(service("notazurewebsites.net"), None);
    }
}
