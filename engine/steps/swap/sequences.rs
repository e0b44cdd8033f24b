//! The side's sequences, raised to at least the live ones': a number that was given out must not be given out again. Never
//! lowers one; repeating it does no harm.

use super::super::attempt::Attempt;
use super::super::stop::{self, Stop};
use super::super::targets::{Target, application_name};
use crate::postgres::{Connection, escape_literal};
use std::collections::HashMap;

const SEQUENCES: &str = "SELECT pg_catalog.format('%I.%I', schemaname, sequencename), last_value, increment_by \
    FROM pg_catalog.pg_sequences WHERE schemaname OPERATOR(pg_catalog.!~) '^pg_' ORDER BY 1";

/// Where a sequence stands, None: no number was given out yet.
struct Place {
    last: Option<i64>,
    step: i64,
}

pub async fn raise(attempt: &Attempt, live: &Target, side: &Target, open: bool) -> Result<(), Stop> {
    if !open {
        attempt.warn(format!("{} is closed, so its sequences could not be compared", live.database));
        return Ok(());
    }
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    let from = stop::unless_cancelled(attempt, Connection::connect(&live.settings, &name)).await?;
    let to = stop::unless_cancelled(attempt, Connection::connect(&side.settings, &name)).await?;
    let (given, own) = (read(&from).await?, read(&to).await?);
    let mut statements = String::new();
    for (sequence, place) in &given {
        let (Some(last), Some(own)) = (place.last, own.get(sequence)) else { continue };
        let behind = own.last.is_none_or(|own| if place.step < 0 { last < own } else { last > own });
        if behind {
            statements
                .push_str(&format!("SELECT pg_catalog.setval({}, {last});\n", escape_literal(sequence)));
        }
    }
    if !statements.is_empty() {
        to.execute(&statements).await?;
    }
    Ok(())
}

async fn read(connection: &Connection) -> Result<HashMap<String, Place>, Stop> {
    let found = connection.last(SEQUENCES).await?;
    let number = |row: &Vec<Option<String>>, at: usize| {
        row.get(at).cloned().flatten().and_then(|text| text.parse::<i64>().ok())
    };
    let place = |row: &Vec<Option<String>>| {
        let name = row.first().cloned().flatten()?;
        Some((name, Place { last: number(row, 1), step: number(row, 2).unwrap_or(1) }))
    };
    Ok(found.rows.iter().filter_map(place).collect())
}
