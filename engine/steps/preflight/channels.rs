//! Whether notifications would find their way: a name that resolves and a port that answers. Sends nothing.

use super::Options;
use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::uses::Uses;
use crate::plan::StepId;
use crate::plan::site::{Channel, ChannelType};
use crate::steps::world::World;
use futures_util::future::join_all;
use std::time::Duration;

/// A channel that is slower than this is not there when it is needed.
const LIMIT: Duration = Duration::from_secs(3);

pub async fn look(world: &World, options: &Options, uses: &Uses) -> Found {
    let channels = world.shape.loaded.channels();
    let asked = uses.channels.iter().filter_map(|(name, step)| {
        let channel = channels.get(name.as_str())?;
        (channel.type_ != ChannelType::Console).then(|| ask(world, options, name, channel, step))
    });
    let mut found = Found::default();
    join_all(asked).await.into_iter().for_each(|one| found.extend(one));
    found
}

async fn ask(world: &World, options: &Options, name: &str, channel: &Channel, step: &StepId) -> Found {
    let mut found = Found::default();
    let unreachable = |why: String| {
        Concern::warning("channel_unreachable", format!("the channel {name} cannot be reached: {why}"))
            .step(step)
            .help("notifications there will be retried and then reported as not delivered; tell the people yourself")
    };
    let Some(url) = &channel.url else { return found };
    let url = match late::url(world, url).await {
        Known::Now(url) => url,
        Known::After(_) => return found,
        Known::Never(failure) => {
            found.add(unreachable(failure.message));
            return found;
        }
    };
    // The address may be a secret: only host and port are ever said.
    let Some((host, port)) = host_and_port(&url) else {
        found.add(unreachable("its address is not an http or https URL".to_owned()));
        return found;
    };
    let connecting = tokio::net::TcpStream::connect((host.as_str(), port));
    match tokio::time::timeout(LIMIT.min(options.limit), connecting).await {
        Ok(Ok(_)) => found.fact(name, format!("{host}:{port} answers")),
        Ok(Err(error)) => found.add(unreachable(format!("{host}:{port}: {error}"))),
        Err(_) => {
            found.add(unreachable(format!("{host}:{port} did not answer within {} s", LIMIT.as_secs())))
        }
    }
    found
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let uri: ureq::http::Uri = url.trim().parse().ok()?;
    let port = match uri.scheme_str()? {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((host, uri.port_u16().unwrap_or(port)))
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn the_place_in_an_address() {
        let place = |url| host_and_port(url).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(place("https://hooks.example.com/a/b").as_deref(), Some("hooks.example.com 443"));
        assert_eq!(place("http://user:pw@127.0.0.1:8080").as_deref(), Some("127.0.0.1 8080"));
        assert_eq!(place("http://[::1]:9/x").as_deref(), Some("::1 9"));
        assert_eq!(place("ftp://x"), None);
        assert_eq!(place("no url"), None);
    }
}
