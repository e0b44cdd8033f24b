//! Whether notifications would find their way: a name that resolves, a port that answers, and a certificate that is trusted.
//! Sends nothing.

use super::Options;
use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::uses::Uses;
use crate::plan::site::{Channel, ChannelType, Tls};
use crate::plan::{StepId, template};
use crate::process;
use crate::steps::http::trust::{self, Distrust};
use crate::steps::notify::{deliver, email, pagerduty};
use crate::steps::world::World;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::time::Duration;

/// A channel that is slower than this is not there when it is needed.
const LIMIT: Duration = Duration::from_secs(3);
const UNTRUSTED: &str = "nothing is told there until this machine trusts the authority that signed the certificate \
                         (add it to the system's, or name its file: SSL_CERT_FILE=FILE), or the receiver shows a right one";

pub async fn look(world: &World, options: &Options, uses: &Uses) -> Found {
    let channels = world.shape.loaded.channels();
    let used = uses.channels.iter().map(|(name, step)| (name.as_str(), Some(step)));
    // What the site tells by itself goes out on these.
    let site = world.shape.site.iter().flat_map(|site| &site.channels);
    let telling = site.filter(|(name, channel)| {
        !channel.events.is_empty() && !uses.channels.contains_key(name.value.as_str())
    });
    let all = used.chain(telling.map(|(name, _)| (name.value.as_str(), None)));
    let asked = all.filter_map(|(name, step)| {
        let channel = channels.get(name)?;
        (channel.type_ != ChannelType::Console).then(|| ask(world, options, name, channel, step))
    });
    let mut found = Found::default();
    join_all(asked).await.into_iter().for_each(|one| found.extend(one));
    found
}

/// The secrets that a channel's texts name.
pub fn secrets(channel: &Channel) -> BTreeSet<String> {
    let Channel { url, secret, server, user, password, from, routing_key, argv, to, env, headers, .. } =
        channel;
    let single = [url, secret, server, user, password, from, routing_key].into_iter().flatten();
    let many = argv.iter().flatten().chain(to).chain(env.values());
    let texts = single.chain(many).chain(headers.values());
    let references = texts.flat_map(|text| template::references(&text.raw, false).unwrap_or_default());
    let secret = |reference: template::Reference| match reference.parts.as_slice() {
        [first, name, ..] if first == "secrets" => Some(name.clone()),
        _ => None,
    };
    references.filter_map(secret).collect()
}

async fn ask(
    world: &World,
    options: &Options,
    name: &str,
    channel: &Channel,
    step: Option<&StepId>,
) -> Found {
    let mut found = Found::default();
    let unreachable = |why: String| {
        let concern =
            Concern::warning("channel_unreachable", format!("the channel {name} cannot be reached: {why}"))
                .help("notifications there will be retried and then reported as not delivered; tell the people yourself");
        match step {
            Some(step) => concern.step(step),
            None => concern,
        }
    };
    if channel.type_ == ChannelType::Command {
        match program(world, channel).await {
            Ok(Some(path)) => found.fact(name, format!("{path} is there")),
            Ok(None) => {}
            Err(why) => found.add(unreachable(why)),
        }
        return found;
    }
    let Receiver { host, port, is_https } = match receiver(world, channel).await {
        Ok(Some(receiver)) => receiver,
        Ok(None) => return found,
        Err(why) => {
            found.add(unreachable(why));
            return found;
        }
    };
    let place = format!("{host}:{port}");
    let late = |limit: Duration| Distrust::Broken(format!("did not answer within {} s", limit.as_secs_f64()));
    let knocking = LIMIT.min(options.limit);
    let connecting = tokio::net::TcpStream::connect((host.as_str(), port));
    let stream = match tokio::time::timeout(knocking, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Distrust::Broken(error.to_string())),
        Err(_) => Err(late(knocking)),
    };
    // A mail server may let whoever it does not know wait for its first word.
    let limit = deliver::LIMIT.min(options.limit);
    let proving = async {
        match channel.type_ {
            _ if is_https => trust::prove(&host, stream?).await,
            ChannelType::Email if channel.tls != Tls::None => {
                drop(stream?);
                email::prove(world, channel, limit).await.map(|()| true)
            }
            _ => stream.map(|_| false),
        }
    };
    match tokio::time::timeout(limit, proving).await.unwrap_or_else(|_| Err(late(limit))) {
        Ok(true) => found.fact(name, format!("{place} answers, and its certificate is trusted")),
        Ok(false) => found.fact(name, format!("{place} answers")),
        Err(Distrust::Broken(why)) => found.add(unreachable(format!("{place}: {why}"))),
        Err(Distrust::Refused(why)) => {
            let words = format!("the channel {name} is not trusted: {place}: {why}");
            let concern = Concern::warning("channel_untrusted", words).help(UNTRUSTED);
            found.add(match step {
                Some(step) => concern.step(step),
                None => concern,
            });
        }
    }
    found
}

/// Somebody who can be connected to.
struct Receiver {
    host: String,
    port: u16,
    is_https: bool,
}

/// Who is to answer. None: a step has to say it first. The address may be a secret: only host and port are ever said.
async fn receiver(world: &World, channel: &Channel) -> Result<Option<Receiver>, String> {
    let known = match (channel.type_, &channel.url, &channel.server) {
        (ChannelType::Email, _, Some(server)) => {
            let host = now(late::plain(world, server).await)?;
            return Ok(host.map(|host| Receiver { host, port: email::port(channel), is_https: false }));
        }
        (ChannelType::Pagerduty, None, _) => Some(pagerduty::ADDRESS.to_owned()),
        (_, Some(url), _) => now(late::url(world, url).await)?,
        (_, None, _) => None,
    };
    let Some(url) = known else { return Ok(None) };
    of_url(&url).map(Some).ok_or_else(|| "its address is not an http or https URL".to_owned())
}

/// The program of a channel.
async fn program(world: &World, channel: &Channel) -> Result<Option<String>, String> {
    let Some(first) = channel.argv.as_ref().and_then(|argv| argv.first()) else { return Ok(None) };
    let Some(name) = now(late::plain(world, first).await)? else { return Ok(None) };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = match name.contains('/') {
        true => Some(world.directory.join(&name)).filter(|path| path.is_file()),
        false => process::which(&name, path),
    };
    found.map(|path| Some(path.display().to_string())).ok_or_else(|| format!("{name} is not on this machine"))
}

fn now(known: Known<String>) -> Result<Option<String>, String> {
    match known {
        Known::Now(text) => Ok(Some(text)),
        Known::After(_) => Ok(None),
        Known::Never(failure) => Err(failure.message),
    }
}

fn of_url(url: &str) -> Option<Receiver> {
    let uri: ureq::http::Uri = url.trim().parse().ok()?;
    let is_https = uri.scheme_str()? == "https";
    let port = match uri.scheme_str()? {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(Receiver { host, port: uri.port_u16().unwrap_or(port), is_https })
}

#[cfg(test)]
mod tests {
    use super::{Receiver, of_url};

    #[test]
    fn the_place_in_an_address() {
        let place = |url| of_url(url).map(|Receiver { host, port, .. }| format!("{host} {port}"));
        assert_eq!(place("https://hooks.example.com/a/b").as_deref(), Some("hooks.example.com 443"));
        assert_eq!(place("http://user:pw@127.0.0.1:8080").as_deref(), Some("127.0.0.1 8080"));
        assert_eq!(place("http://[::1]:9/x").as_deref(), Some("::1 9"));
        assert_eq!(place("ftp://x"), None);
        assert_eq!(place("no url"), None);
    }
}
