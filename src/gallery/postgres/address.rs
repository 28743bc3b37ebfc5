//! Where a gallery in PostgreSQL lies.

use super::PostgresError;
use super::failure::in_one_line;
use std::fmt;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How long the server may take for one statement unless the URL says `timeout=SECONDS`.
const DEFAULT_LIMIT: Duration = Duration::from_secs(120);

/// The server counts milliseconds in 32 bits.
const MOST_SECONDS: u64 = 1_000_000;

/// Where a gallery lies: a server, a database, a schema.
///
/// `postgres://user:password@host:port/database?timeout=SECONDS`; whatever else the URL says goes to
/// the client library. Without a password in it, `PGPASSWORD` is taken, which the list of processes
/// does not show. The gallery's name is that of its schema.
#[derive(Clone)]
pub(super) struct Address {
    pub config: Config,
    pub schema: String,
    pub limit: Duration,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate().map(|(i, host)| {
            let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                #[cfg(unix)]
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        });
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let database = self.config.get_dbname().unwrap_or_default();
        write!(f, "PostgreSQL at {hosts}, database {database}, gallery {}", self.schema)
    }
}

impl Address {
    pub fn parse(url: &str, gallery: &str) -> Result<Self, PostgresError> {
        let refuse = |reason: &str| Err(PostgresError::Url(reason.into()));
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return refuse("must begin with postgres://");
        }
        // Read on, part of the password would be taken for the host's name, and printed.
        if url.matches('@').count() > 1 {
            return refuse("has more than one @; write that of a user name or password as %40");
        }
        if url.contains("password=") {
            return refuse("takes a password before the host, or from PGPASSWORD");
        }
        let query = url[url.find('@').unwrap_or(0)..].split_once('?').map_or("", |(_, q)| q);
        let mut rest = url[..url.len() - query.len()].to_string();
        let mut limit = DEFAULT_LIMIT;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("timeout", seconds)) => match seconds.parse() {
                    Ok(seconds @ 1..=MOST_SECONDS) => limit = Duration::from_secs(seconds),
                    _ => return refuse("timeout must be a whole number of seconds, 1 to 1000000"),
                },
                _ => rest = format!("{rest}{pair}&"),
            }
        }
        if !is_plain_name(gallery) {
            return Err(PostgresError::Name(gallery.into()));
        }
        let mut config: Config = rest
            .trim_end_matches(['&', '?'])
            .parse()
            .map_err(|e: tokio_postgres::Error| PostgresError::Url(in_one_line(&e)))?;
        if config.get_hosts().is_empty() {
            return refuse("names no host; write postgres://user@host/database");
        }
        if config.get_dbname().is_none() {
            return refuse("names no database; write postgres://user@host/database");
        }
        let local = config.get_hosts().iter().all(is_this_machine)
            && config.get_hostaddrs().iter().all(|address| address.is_loopback());
        if !local && config.get_ssl_mode() != SslMode::Disable {
            return refuse(
                "another machine would be spoken to without encryption; reach it through a tunnel \
                 (ssh -L 5432:localhost:5432 HOST) as localhost, or, where the network between is \
                 your own, add ?sslmode=disable",
            );
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("lumiface");
        }
        Ok(Self { config, schema: gallery.into(), limit })
    }

    pub fn unsuitable(&self, reason: impl fmt::Display) -> PostgresError {
        PostgresError::Unsuitable { place: self.to_string(), reason: reason.to_string() }
    }
}

fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (1..=63).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.starts_with("pg_")
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(url: &str) -> String {
        match Address::parse(url, "lab") {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_address_is_read_and_shown_without_its_password() {
        let address = Address::parse("postgres://ann:secret@localhost:99/faces?timeout=7", "lab");
        let address = address.unwrap_or_else(|e| panic!("{e}"));
        let shown = "PostgreSQL at localhost:99, database faces, gallery lab";
        assert_eq!(address.to_string(), shown);
        assert_eq!(address.limit, Duration::from_secs(7));
        assert_eq!(address.config.get_password(), Some("secret".as_bytes()));
        // A question mark in a password is the password's.
        let odd =
            Address::parse("postgres://ann:a?timeout=5@127.0.0.1/faces?connect_timeout=3", "x");
        let odd = odd.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(odd.limit, DEFAULT_LIMIT);
        assert_eq!(odd.config.get_password(), Some("a?timeout=5".as_bytes()));
        assert_eq!(odd.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert!(said("postgres:///faces?host=/run/postgresql").contains("/run/postgresql:5432"));
    }

    #[test]
    fn a_wrong_address_is_refused_without_its_password() {
        for (url, wanted) in [
            ("mysql://localhost/faces", "begin with postgres://"),
            ("postgres://ann:sec@ret@localhost/faces", "%40"),
            ("postgres://ann:secret@localhost:x1/faces", "port"),
            ("postgres://ann:secret@localhost/faces?sslmode=maybe", "sslmode"),
            ("postgres://ann:secret@localhost/faces?colour=red", "colour"),
            ("postgres://ann:secret@localhost/faces?timeout=0", "timeout"),
            ("postgres://ann:secret@localhost/faces?timeout=2147484", "timeout"),
            ("postgres://localhost/faces?user=ann&password=se@cret/faces", "before the host"),
            ("postgres://ann:secret@localhost", "no database"),
            ("postgres:///faces", "no host"),
        ] {
            let said = said(url);
            assert!(said.starts_with("store URL: ") && said.contains(wanted), "{url}: {said}");
            assert!(!said.contains("sec") || said.contains("seconds"), "{url}: {said}");
            assert!(!said.contains("secret") && !said.contains('\n'), "{url}: {said}");
        }
    }

    #[test]
    fn another_machine_in_the_clear_needs_a_word() {
        assert!(said("postgres://ann@db.example/faces").contains("without encryption"));
        assert!(
            said("postgres://ann@10.0.0.7/faces?sslmode=prefer").contains("without encryption")
        );
        assert!(said("postgres://ann@localhost,10.0.0.7/faces").contains("without encryption"));
        assert!(said("postgres://ann@10.0.0.7/faces?sslmode=disable").contains("10.0.0.7:5432"));
        assert!(said("postgres://ann@[::1]/faces").contains("::1:5432"));
    }
    #[test]
    fn a_gallery_is_named_as_a_schema_can_be() {
        for name in ["Lab", "pg_x", "a;b", "", "1st", &"a".repeat(64)] {
            let refused = Address::parse("postgres://ann@localhost/faces", name).err();
            let text = refused.map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains("lower-case letters, digits and _"), "{name}: {text}");
        }
    }
}
