//! Where the servers of a run stood when it last changed something there, as its steps noted it: what tells later that one was
//! set back. Must never keep what was noted of a server that a step of the run replaced.

use super::outcome::Fact;
use super::replacement::REPLACING;
use super::state::State;
use serde_json::Value;

/// The fact of a step that has changed a database: `{database, position}`.
pub const POSITION: &str = "position";

impl State {
    /// Where the server of a database of the plan stood, in the words of the edge.
    pub fn position(&self, database: &str) -> Option<&Value> {
        self.positions.get(database)
    }

    /// The databases of whose servers that is known.
    pub fn positioned(&self) -> impl Iterator<Item = &str> {
        self.positions.keys().map(String::as_str)
    }

    pub(super) fn note_position(&mut self, fact: &Fact) {
        let Some(database) = fact.data["database"].as_str() else { return };
        if fact.name.ends_with(REPLACING) {
            // With it go all databases of that server, whatever the plan calls them.
            let server = &fact.data["server"];
            self.positions
                .retain(|name, position| name != database && position["system_identifier"] != *server);
        } else if fact.name == POSITION || fact.name.strip_prefix("undo.") == Some(POSITION) {
            self.positions.insert(database.to_owned(), fact.data["position"].clone());
        }
    }
}
