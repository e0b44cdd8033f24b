//! What others on this machine can read although it opens something: files of secrets, and a site file that holds a secret
//! itself. Looks at names and modes; must never read a secret, nor show one.

use crate::plan::Loaded;
use crate::plan::site::{Channel, ChannelType};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Something that others can read, and how it is closed to them.
pub struct Exposed {
    pub found: String,
    pub mend: String,
}

/// What the site file names or holds that others can read.
pub fn of(site: &Path, loaded: &Loaded) -> Vec<Exposed> {
    let directory = site.parent().unwrap_or(Path::new(""));
    let secrets = loaded.secrets();
    let files = secrets.iter().filter_map(|(name, source)| {
        let path = directory.join(source.file.as_ref()?);
        is_open(&path).then(|| Exposed {
            found: format!("others on this machine can read the secret {name} in {}", path.display()),
            mend: format!("chmod 600 {}", path.display()),
        })
    });
    let mut found: Vec<Exposed> = files.collect();
    let channels = loaded.channels();
    let held: Vec<String> = channels
        .iter()
        .filter_map(|(name, channel)| Some(format!("the {} of the channel {name}", written(channel)?)))
        .collect();
    if !held.is_empty() && is_open(site) {
        found.push(Exposed {
            found: format!(
                "others on this machine can read {}, which holds {}",
                site.display(),
                held.join(", ")
            ),
            mend: format!("chmod 600 {}, or take it from `secrets:`", site.display()),
        });
    }
    found
}

/// What stands written in a channel and lets anybody speak there.
fn written(channel: &Channel) -> Option<&'static str> {
    let is_written = |text: &Option<crate::plan::Text>| {
        text.as_ref().is_some_and(|text| !text.raw.is_empty() && !text.raw.contains("{{"))
    };
    let all = [
        ("password", is_written(&channel.password)),
        ("secret", is_written(&channel.secret)),
        ("routing key", is_written(&channel.routing_key)),
        ("address", channel.type_ == ChannelType::Slack && is_written(&channel.url)),
    ];
    all.into_iter().find(|(_, is)| *is).map(|(what, _)| what)
}

fn is_open(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.mode() & 0o044 != 0)
}
