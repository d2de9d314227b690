//! Where the database is, and how it is spoken to.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    net::IpAddr,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

use super::Error;

/// The longest password, in bytes.
const PASSWORD_BYTES_MAX: u64 = 4_096;

/// What a [`Pool`](super::Pool) needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `postgresql://user@host:port/database`, without a password.
    pub url: String,
    /// The file with the password; empty for none.
    pub password_file: PathBuf,
    /// The authorities that vouch for the server, in PEM; empty for those of the system.
    pub ca_file: PathBuf,
    /// The most connections for callers at once.
    pub connections_max: usize,
    /// The wait for a connection, and for a free one.
    pub connect_timeout: Duration,
    /// The longest statement.
    pub statement_timeout: Duration,
    /// What the server's own lists call us.
    pub name: String,
}

/// Why `url` cannot be used; none when it can. Looks at the text alone.
pub fn refuse_url(url: &str) -> Option<&'static str> {
    read(url).err()
}

fn read(url: &str) -> Result<Config, &'static str> {
    if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
        return Err("not the url of a PostgreSQL database");
    }
    let mut config: Config = url.parse().map_err(|_| "not the url of a PostgreSQL database")?;
    if config.get_password().is_some() {
        return Err("the url holds a password");
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("the url names no host");
    }
    if config.get_user().is_none() {
        return Err("the url names no user");
    }
    let near = config.get_hosts().iter().all(is_near)
        && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    let said = url.contains("sslmode=");
    match config.get_ssl_mode() {
        SslMode::Disable if said => {}
        SslMode::Prefer if near => {
            config.ssl_mode(SslMode::Disable);
        }
        _ => {
            config.ssl_mode(SslMode::Require);
        }
    }
    Ok(config)
}

/// On this machine: nobody is in between.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

impl Settings {
    /// The crate's own form, with the password.
    pub(super) fn config(&self) -> Result<Config, Error> {
        let mut config = read(&self.url).map_err(Error::Url)?;
        config.connect_timeout(self.connect_timeout);
        config.tcp_user_timeout(self.statement_timeout);
        config.keepalives_idle(Duration::from_secs(5));
        config.keepalives_interval(Duration::from_secs(2));
        config.keepalives_retries(3);
        // Of several hosts the one that takes writes: what another says may be old.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.application_name(self.name.as_str());
        if !self.password_file.as_os_str().is_empty() {
            config.password(password(&self.password_file)?);
        }
        Ok(config)
    }
}

fn password(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path);
    let file = file.map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw() || meta.uid() == 0;
    if meta.mode() & 0o077 != 0 || !ours {
        return Err(Error::Exposed(path.to_owned()));
    }
    let mut text = String::new();
    file.take(PASSWORD_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(failed(io::Error::other("no password in it")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused() {
        let mode = |url: &str| read(url).unwrap().get_ssl_mode();
        assert_eq!(mode("postgresql://u@127.0.0.1/d"), SslMode::Disable);
        assert_eq!(mode("postgresql://u@127.0.0.1/d?sslmode=require"), SslMode::Require);
        assert_eq!(mode("postgres://u@localhost:5433/d"), SslMode::Disable);
        assert_eq!(mode("postgresql://u@%2Frun%2Fpostgresql/d"), SslMode::Disable);
        assert_eq!(mode("postgresql://u@db.example/d"), SslMode::Require);
        assert_eq!(mode("postgresql://u@db.example/d?sslmode=prefer"), SslMode::Require);
        assert_eq!(mode("postgresql://u@db.example/d?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgresql://u@127.0.0.1,db.example/d"), SslMode::Require);
        for (url, why) in [
            ("mysql://u@h/d", "not the url of a PostgreSQL database"),
            ("host=h user=u", "not the url of a PostgreSQL database"),
            ("postgresql://u:secret@h/d", "the url holds a password"),
            ("postgresql://u@h/d?password=secret", "the url holds a password"),
            ("postgresql:///d?user=u", "the url names no host"),
            ("postgresql://h/d", "the url names no user"),
        ] {
            assert_eq!(refuse_url(url), Some(why), "{url}");
        }
    }
}
