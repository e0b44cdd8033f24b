//! What Prisma writes into a PostgreSQL address and libpq does not know. Must never drop what would protect something, nor
//! take a pooled address for the server's.

use super::super::error::Error;
use super::conninfo::Pairs;
use crate::secret::Secret;

/// About Prisma's own pool and cache: nothing that this program has.
const ITS_OWN: &[&str] = &[
    "connection_limit",
    "pool_timeout",
    "socket_timeout",
    "statement_cache_size",
    "max_idle_connection_lifetime",
];

/// The pairs as libpq knows them.
///
/// # Errors
/// One of them asks for what cannot be done, with what to write instead.
pub(super) fn translated(pairs: Pairs) -> Result<Pairs, Error> {
    let mut known = Pairs::new();
    let mut schema = None;
    for (key, value) in pairs {
        match (key.as_str(), value.expose()) {
            (own, _) if ITS_OWN.contains(&own) => {}
            ("schema", "public") => {}
            ("schema", name) => schema = Some(name.to_owned()),
            ("pgbouncer", "true" | "1") => {
                return Err(Error::settings(
                    "this address goes through PgBouncer (`pgbouncer=true`)",
                    "name the server itself, as Prisma's `directUrl` does; the pooler goes under `pooler:`",
                ));
            }
            ("pgbouncer", _) | ("sslaccept", "accept_invalid_certs") => {}
            ("sslaccept", _) => {
                return Err(Error::settings(
                    "`sslaccept` is Prisma's way to ask for a valid certificate",
                    "write `sslmode=verify-full` in its place",
                ));
            }
            _ => known.push((key, value)),
        }
    }
    if let Some(name) = schema {
        // As the server reads its options: a backslash before what would end the word.
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let escaped = quoted.replace('\\', "\\\\").replace(' ', "\\ ");
        let before = known.iter().position(|(key, _)| key == "options").map(|at| known.remove(at).1);
        let before = before.map(|options| format!("{} ", options.expose())).unwrap_or_default();
        known.push(("options".to_owned(), Secret::new(format!("{before}-c search_path={escaped}"))));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::super::conninfo::read;

    fn pairs(query: &str) -> Result<Vec<(String, String)>, String> {
        let read = read(&format!("postgresql://u@h/d?{query}")).map_err(|error| error.to_string())?;
        let all = read.into_iter().map(|(key, value)| (key, value.expose().to_owned()));
        Ok(all.filter(|(key, _)| !["user", "host", "dbname"].contains(&key.as_str())).collect())
    }

    #[test]
    fn what_prisma_adds_is_understood() {
        assert_eq!(pairs("schema=public&connection_limit=5&pool_timeout=2"), Ok(vec![]));
        let path = |value: &str| Ok(vec![("options".to_owned(), value.to_owned())]);
        assert_eq!(pairs("schema=my%20%22app"), path("-c search_path=\"my\\ \"\"app\""));
        assert_eq!(pairs("options=-c%20a%3Db&schema=x"), path("-c a=b -c search_path=\"x\""));
        assert!(pairs("pgbouncer=true").unwrap_err().contains("goes through PgBouncer"));
        assert!(pairs("sslaccept=strict").unwrap_err().contains("sslaccept"));
        assert_eq!(pairs("sslaccept=accept_invalid_certs&pgbouncer=false"), Ok(vec![]));
    }
}
