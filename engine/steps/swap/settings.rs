//! What belongs to a database and is in no dump: its settings for all roles and for single ones, its privileges, its limit of
//! connections, the claim. Must never carry over what a freeze set.

use super::super::database::Database;
use super::super::freeze::READ_ONLY;
use crate::postgres::{Connection, Error, escape_identifier, escape_literal, identity};
use serde_json::Value;

/// The run's mark among the settings.
const CLAIM: &str = "runplan.claim";

/// Settings whose value is a list of quoted names.
const LISTS: [&str; 6] = [
    "search_path",
    "temp_tablespaces",
    "session_preload_libraries",
    "local_preload_libraries",
    "shared_preload_libraries",
    "unix_socket_directories",
];

/// One setting of a database.
struct Setting {
    /// None: of all roles.
    role: Option<String>,
    name: String,
    value: String,
}

async fn read(server: &Connection, oid: u32) -> Result<Vec<Setting>, Error> {
    let found = server
        .last(&format!(
            "SELECT r.rolname, pg_catalog.split_part(c, '=', 1), \
             pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1) FROM pg_catalog.pg_db_role_setting s \
             CROSS JOIN pg_catalog.unnest(s.setconfig) WITH ORDINALITY u(c, n) \
             LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) s.setrole \
             WHERE s.setdatabase OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid \
             AND (s.setrole OPERATOR(pg_catalog.=) 0::pg_catalog.oid OR r.oid IS NOT NULL) ORDER BY 1 NULLS FIRST, n"
        ))
        .await?;
    let text = |row: &Vec<Option<String>>, at: usize| row.get(at).cloned().flatten();
    Ok(found
        .rows
        .iter()
        .map(|row| Setting {
            role: text(row, 0),
            name: text(row, 1).unwrap_or_default(),
            value: text(row, 2).unwrap_or_default(),
        })
        .collect())
}

impl Setting {
    /// `ALTER DATABASE app`, `ALTER ROLE x IN DATABASE app`.
    fn alter(&self, database: &str) -> String {
        let database = escape_identifier(database);
        match &self.role {
            None => format!("ALTER DATABASE {database}"),
            Some(role) => format!("ALTER ROLE {} IN DATABASE {database}", escape_identifier(role)),
        }
    }

    fn reset_sql(&self, database: &str) -> String {
        format!("{} RESET {}", self.alter(database), escape_identifier(&self.name))
    }

    fn sql(&self, database: &str) -> String {
        let value = if LISTS.contains(&self.name.to_ascii_lowercase().as_str()) {
            let items: Vec<String> = items(&self.value).iter().map(|item| escape_literal(item)).collect();
            if items.is_empty() { "''".to_owned() } else { items.join(", ") }
        } else {
            escape_literal(&self.value)
        };
        format!("{} SET {} TO {value}", self.alter(database), escape_identifier(&self.name))
    }
}

/// A setting of the live database that this role may not give to the copy.
pub struct Lack {
    /// `log_min_duration_statement`, `work_mem of role app`.
    pub what: String,
    /// The statements for a superuser: what lets this role, if anything does, and what does without.
    pub help: String,
}

/// What of a database's settings a role without superuser rights may not set, by the rules of this server's version: it looks
/// only. A setting that nobody knows here, or that is hidden from the role, counts as one that only a superuser may set.
pub async fn lacks(server: &Connection, live: &str, oid: u32, role: &str) -> Result<Vec<Lack>, Error> {
    let version = identity::server_version(server).await?;
    let granted = match version {
        150_000.. => "pg_catalog.has_parameter_privilege(c.name, 'SET')",
        _ => "false",
    };
    let administers = match version {
        160_000.. => "pg_catalog.pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION')",
        _ => "true",
    };
    let rules = server
        .last(&format!(
            "SELECT r.rolname, c.name, {granted} OR EXISTS (SELECT FROM pg_catalog.pg_settings p \
             WHERE pg_catalog.lower(p.name) OPERATOR(pg_catalog.=) pg_catalog.lower(c.name) \
             AND p.context OPERATOR(pg_catalog.=) 'user'), \
             s.setrole OPERATOR(pg_catalog.=) 0::pg_catalog.oid OR r.oid OPERATOR(pg_catalog.=) me.oid \
             OR (NOT r.rolsuper AND me.rolcreaterole AND {administers}), r.rolsuper \
             FROM pg_catalog.pg_db_role_setting s CROSS JOIN pg_catalog.unnest(s.setconfig) u(c) \
             CROSS JOIN LATERAL (SELECT pg_catalog.split_part(u.c, '=', 1)) c(name) \
             JOIN pg_catalog.pg_roles me ON me.rolname OPERATOR(pg_catalog.=) current_user \
             LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) s.setrole \
             WHERE s.setdatabase OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid"
        ))
        .await?
        .rows;
    let me = escape_identifier(role);
    let is =
        |row: &Vec<Option<String>>, at: usize| row.get(at).is_some_and(|cell| cell.as_deref() == Some("t"));
    let mut lacks = Vec::new();
    for setting in read(server, oid).await?.into_iter().filter(|setting| setting.name != CLAIM) {
        let of_it = |row: &&Vec<Option<String>>| {
            row.first() == Some(&setting.role)
                && row.get(1).is_some_and(|name| name.as_ref() == Some(&setting.name))
        };
        let Some(rule) = rules.iter().find(of_it) else { continue };
        let (may_set, may_alter, superuser) = (is(rule, 2), is(rule, 3), is(rule, 4));
        if may_set && may_alter {
            continue;
        }
        let mut grants = Vec::new();
        if !may_set {
            grants.push(format!("GRANT SET ON PARAMETER {} TO {me}", escape_identifier(&setting.name)));
        }
        if let Some(whose) = setting.role.as_deref().filter(|_| !may_alter) {
            grants.push(format!("ALTER ROLE {me} CREATEROLE"));
            if version >= 160_000 {
                grants.push(format!("GRANT {} TO {me} WITH ADMIN OPTION", escape_identifier(whose)));
            }
        }
        // Nothing lets another alter a superuser, and before 15 nothing lets him set such a parameter.
        let possible = (may_set || version >= 150_000) && (may_alter || !superuser);
        let around =
            format!("{} before the swap, and {} after it", setting.reset_sql(live), setting.sql(live));
        lacks.push(Lack {
            what: match &setting.role {
                None => setting.name.clone(),
                Some(whose) => format!("{} of role {whose}", setting.name),
            },
            help: match possible {
                true => format!("as a superuser: {}; or {around}", grants.join("; ")),
                false => format!("as a superuser: {around}"),
            },
        });
    }
    Ok(lacks)
}

/// The items of a list of names: `"$user", public`.
fn items(value: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut item = String::new();
            let mut chars = quoted.char_indices().peekable();
            let mut end = quoted.len();
            while let Some((at, c)) = chars.next() {
                if c != '"' {
                    item.push(c);
                } else if chars.peek().is_some_and(|(_, next)| *next == '"') {
                    chars.next();
                    item.push('"');
                } else {
                    end = at + 1;
                    break;
                }
            }
            items.push(item);
            rest = &quoted[end..];
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            items.push(rest[..end].trim_end().to_owned());
            rest = &rest[end..];
        }
        rest = rest.trim_start().strip_prefix(',').unwrap_or("").trim_start();
    }
    items
}

/// The statements that give one database what belongs to another.
pub async fn carry(
    server: &Connection,
    from: &Database,
    to: &Database,
    frozen: Option<&Value>,
) -> Result<Vec<String>, Error> {
    let mut statements = vec![format!("ALTER DATABASE {} RESET ALL", escape_identifier(&to.name))];
    for setting in read(server, from.oid).await? {
        if setting.role.is_none() && setting.name == READ_ONLY && frozen.is_some() {
            continue;
        }
        statements.push(setting.sql(&to.name));
    }
    if let Some(previous) = frozen.and_then(|frozen| frozen.get("previous")).and_then(Value::as_str) {
        let before = Setting { role: None, name: READ_ONLY.to_owned(), value: previous.to_owned() };
        statements.push(before.sql(&to.name));
    }
    if from.connection_limit != to.connection_limit {
        let limit = from.connection_limit;
        statements
            .push(format!("ALTER DATABASE {} WITH CONNECTION LIMIT {limit}", escape_identifier(&to.name)));
    }
    statements.extend(grants(server, from, to).await?);
    Ok(statements)
}

/// The privileges, exactly: those that every database has by default are taken away first.
async fn grants(server: &Connection, from: &Database, to: &Database) -> Result<Vec<String>, Error> {
    let found = server
        .last(&format!(
            "SELECT a.privilege_type, CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN NULL \
             ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.is_grantable FROM pg_catalog.pg_database d, \
             pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a \
             WHERE d.oid OPERATOR(pg_catalog.=) {}::pg_catalog.oid",
            from.oid
        ))
        .await?;
    let name = escape_identifier(&to.name);
    let mut statements = vec![
        format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
        format!("REVOKE ALL ON DATABASE {name} FROM {}", escape_identifier(&to.owner)),
    ];
    for row in found.rows {
        let mut row = row.into_iter();
        let (privilege, grantee, option) = (row.next().flatten(), row.next().flatten(), row.next().flatten());
        let whom = grantee.map_or_else(|| "PUBLIC".to_owned(), |role| escape_identifier(&role));
        let option = if option.as_deref() == Some("t") { " WITH GRANT OPTION" } else { "" };
        statements
            .push(format!("GRANT {} ON DATABASE {name} TO {whom}{option}", privilege.unwrap_or_default()));
    }
    Ok(statements)
}

/// The statement that takes a carried claim off the database it came from, if it stands among the settings.
pub async fn unclaim(server: &Connection, oid: u32, name: &str) -> Result<Option<String>, Error> {
    let claimed = read(server, oid).await?.iter().any(|setting| setting.name == CLAIM);
    Ok(claimed
        .then(|| format!("ALTER DATABASE {} RESET {}", escape_identifier(name), escape_identifier(CLAIM))))
}

/// The statement that puts the claim of one database on another.
pub async fn claim_again(server: &Connection, oid: u32, name: &str) -> Result<Option<String>, Error> {
    Ok(read(server, oid).await?.iter().find(|setting| setting.name == CLAIM).map(|setting| setting.sql(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_quoted_item_by_item() {
        assert_eq!(items(r#""$user", public, "a ""b"",c""#), ["$user", "public", r#"a "b",c"#]);
        assert_eq!(items("public"), ["public"]);
        assert_eq!(items(r#""""#), [""]);
        assert!(items("").is_empty());
        let setting = Setting {
            role: Some("app".into()),
            name: "search_path".into(),
            value: r#""$user", public"#.into(),
        };
        assert_eq!(
            setting.sql("d"),
            r#"ALTER ROLE "app" IN DATABASE "d" SET "search_path" TO '$user', 'public'"#
        );
    }
}
