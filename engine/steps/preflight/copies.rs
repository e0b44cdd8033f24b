//! A `copy` before it is run: its table and key at each end that is there already, what the role lacks to write the rows,
//! and about how many rows the condition picks.

use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::listed;
use super::server::Server;
use super::statements;
use super::uses::{self, Use, What};
use crate::plan::Text;
use crate::plan::action::Copy;
use crate::plan::action::copy::OnConflict;
use crate::postgres::{escape_identifier, escape_literal};
use crate::steps::copy::table::Table;
use crate::steps::stop::Stop;
use crate::steps::world::World;

pub async fn look(world: &World, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    for used in uses {
        if let What::Copy { action, into } = &used.what {
            let end = End { world, server, used, action, into: *into };
            end.look(&mut found).await;
        }
    }
    found
}

/// One end of a copy.
struct End<'a> {
    world: &'a World,
    server: &'a Server,
    used: &'a Use,
    action: &'a Copy,
    into: bool,
}

impl End<'_> {
    async fn look(&self, found: &mut Found) {
        let Some(name) = self.known(&self.action.table, found).await else { return };
        if let (Some(step), true) = (&self.used.side, self.into) {
            found.fact(&self.used.step, format!("{name}: not checkable before {step}"));
            return;
        }
        // The rows of a side database are not there yet; those of the live one beside it tell about how many they are.
        let asked = Table::find(&self.server.plain, &name, self.server.database());
        let table = match tokio::time::timeout(self.server.limit, asked).await {
            Ok(Ok(table)) => table,
            Ok(Err(_)) if let Some(maker) = statements::maker_before(self.world, self.used) => {
                return found.fact(&self.used.step, format!("{name}: not checkable before {maker}"));
            }
            Ok(Err(_)) if self.used.side.is_some() => return,
            Ok(Err(Stop::Failed(failure))) => {
                return found.add(Concern::of_failure(&failure).step(&self.used.step));
            }
            Ok(Err(stop)) => {
                return found.add(Concern::warning("not_answered", stop.message()).step(&self.used.step));
            }
            Err(_) => {
                let message = format!("{name}: no answer within {} s", self.server.limit.as_secs());
                return found.add(Concern::warning("not_answered", message).step(&self.used.step));
            }
        };
        if self.into {
            self.privileges(&table, found).await;
            self.key(&table, found).await;
        } else {
            self.rows(&table, found).await;
        }
    }

    /// A text that can be rendered now; what it waits for is said.
    async fn known(&self, text: &Text, found: &mut Found) -> Option<String> {
        match late::plain(self.world, text).await {
            Known::Now(known) => return Some(known),
            Known::After(what) => {
                found.fact(&self.used.step, format!("`{}`: not checkable before {what}", text.raw.trim()));
            }
            Known::Never(failure) => found.add(Concern::of_failure(&failure).step(&self.used.step)),
        }
        None
    }

    /// The condition, asked of the server as the SQL of a step is: whether it can be read, and how many rows it picks.
    async fn rows(&self, table: &Table, found: &mut Found) {
        let condition = self.action.where_.as_ref().map_or("true", |text| text.raw.trim());
        let text = Text::made(format!("SELECT * FROM {} WHERE (\n{condition}\n)", table.only()));
        let part = match &self.used.side {
            Some(_) => format!("where, as {} is now", self.server.database()),
            None => "where".to_owned(),
        };
        let max_rows = self.action.max_rows.as_ref().map(|most| most.value);
        let sql = uses::Sql {
            part,
            text,
            from_file: None,
            read_only: true,
            max_rows,
            copied: true,
            afterwards: false,
        };
        found.extend(statements::look_at(self.world, self.server, self.used, sql).await);
    }

    async fn privileges(&self, table: &Table, found: &mut Found) {
        if self.server.role.superuser {
            return;
        }
        // SHARE ROW EXCLUSIVE, in which nobody else writes meanwhile, asks for one of these.
        let mut wanted = vec![
            ("SELECT", "SELECT", "to compare"),
            ("INSERT", "INSERT", "to write"),
            ("UPDATE, DELETE, TRUNCATE", "UPDATE", "to lock the table against other writers"),
        ];
        if self.action.on_conflict == OnConflict::Update {
            wanted.push(("UPDATE", "UPDATE", "for `on_conflict: update`"));
        }
        wanted.push(("DELETE", "DELETE", "to take copied rows back (undo)"));
        let role = escape_identifier(&self.server.role.name);
        let asked: Vec<String> = wanted
            .iter()
            .map(|(any, ..)| format!("has_table_privilege({}, {})", table.oid, escape_literal(any)))
            .chain([
                "has_database_privilege(current_database(), 'TEMP')".to_owned(),
                format!("row_security_active({}::oid)", table.oid),
            ])
            .collect();
        let rows =
            self.server.rows("what may be written", &format!("SELECT {}", asked.join(", ")), found).await;
        let Some(row) = rows.first() else { return };
        for ((_, grant, why), _) in wanted.iter().zip(row).filter(|(_, may)| *may != "t") {
            let what = format!("may not {grant} on {}, {why}", table.name);
            self.missing(&what, format!("as its owner: GRANT {grant} ON {} TO {role}", table.sql), found);
        }
        let database = escape_identifier(self.server.database());
        if row.get(wanted.len()).is_some_and(|may| may != "t") {
            let help = format!("as its owner: GRANT TEMP ON DATABASE {database} TO {role}");
            self.missing("may not make temporary tables", help, found);
        }
        if row.get(wanted.len() + 1).is_some_and(|active| active == "t") {
            let message = format!(
                "{}: row security hides rows of {} from role {}",
                self.server.name, table.name, self.server.role.name
            );
            let help = format!("as a superuser: ALTER ROLE {role} BYPASSRLS");
            found.add(Concern::error("row_security", message).step(&self.used.step).help(help));
        }
    }

    fn missing(&self, what: &str, help: String, found: &mut Found) {
        let message = format!("{}: role {} {what}", self.server.name, self.server.role.name);
        found.add(Concern::error("missing_privilege", message).step(&self.used.step).help(help));
    }

    /// The key is there, and nothing but its uniqueness keeps one row from being taken for another.
    async fn key(&self, table: &Table, found: &mut Found) {
        let mut key = Vec::new();
        for text in self.action.key.iter().flatten() {
            let Some(name) = self.known(text, found).await else { return };
            key.push(name);
        }
        if self.action.key.is_none() {
            key.clone_from(&table.primary);
        }
        let (server, step) = (&self.server.name, &self.used.step);
        if key.is_empty() {
            let message = format!("{server}: {} has no primary key", table.name);
            let help = "say in `key` which columns tell its rows apart";
            return found.add(Concern::error("copy_key", message).step(step).help(help));
        }
        if let Some(absent) = key.iter().find(|name| table.column(name).is_none()) {
            let message = format!("{server}: {} has no column {absent}", table.name);
            let help = "write it as it is in the database, without quotes";
            return found.add(Concern::error("copy_key", message).step(step).help(help));
        }
        let names: Vec<String> = key.iter().map(|name| escape_literal(name)).collect();
        let unique = format!(
            "SELECT 1 FROM pg_index i WHERE i.indrelid = {} AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
             AND i.indexprs IS NULL AND NOT EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) p \
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p] \
             WHERE a.attname NOT IN ({})) LIMIT 1",
            table.oid,
            names.join(", ")
        );
        if self.server.rows("its unique indexes", &unique, found).await.is_empty() {
            let message = format!(
                "{server}: nothing makes {} unique in {}: where two rows have the same, the copy is refused",
                listed(&key, 5),
                table.name
            );
            let help = "choose other columns as `key`, or make a unique index";
            found.add(Concern::warning("copy_key", message).step(step).help(help));
        }
    }
}
