//! One HTTP exchange: a request, its answer, and whether a lost one can have arrived. Must never follow a redirect with
//! credentials to another host, nor put an address into an error when it may hold a secret.

use super::trust;
use crate::clock;
use crate::plan::written_password;
use serde_json::{Map, Value};
use std::io::Read;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use ureq::http::Uri;

/// How long a host may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a whole exchange may take unless something else is said.
pub const LIMIT: Duration = Duration::from_secs(60);
/// An answer's body is read so far.
pub const LARGEST_BODY: u64 = 8 << 20;
const MOST_REDIRECTS: u32 = 5;
/// What stands where a password stood.
const MASK: &str = "[redacted]";
/// How long an answer is waited for after the wish to cancel, when the request may have arrived.
const GRACE: Duration = Duration::from_secs(5);

/// A request, ready to be sent. No `Debug`: it may hold secrets.
#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub limit: Duration,
    /// How the address is shown.
    pub shown: String,
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case. Cookies are left out: they are credentials.
    pub headers: Map<String, Value>,
    pub body: String,
    /// The body was longer than what is read.
    pub cut: bool,
    pub json: Option<Value>,
    /// Where a redirect that is not followed points to, without credentials and query.
    pub to: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The request certainly did not arrive.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
    Cancelled,
}

impl Trouble {
    pub fn message(&self) -> &str {
        match self {
            Self::NotSent(message) | Self::Lost(message) => message,
            Self::Cancelled => "it was cancelled",
        }
    }
}

/// Sends a request and waits for the answer. Cancelled, a request that may have arrived is waited for a little longer.
pub async fn send(request: &Request, cancelled: &CancellationToken) -> Result<Reply, Trouble> {
    if cancelled.is_cancelled() {
        return Err(Trouble::NotSent("it was cancelled before it was sent".to_owned()));
    }
    let owned = request.clone();
    let mut work = tokio::task::spawn_blocking(move || exchange(&owned));
    let joined = tokio::select! {
        biased;
        joined = &mut work => joined,
        () = cancelled.cancelled() => tokio::select! {
            joined = &mut work => joined,
            () = clock::sleep(GRACE) => return Err(Trouble::Cancelled),
        },
    };
    joined.unwrap_or_else(|error| Err(Trouble::Lost(format!("the exchange ended oddly: {error}"))))
}

fn exchange(request: &Request) -> Result<Reply, Trouble> {
    let mut now = request.clone();
    for _ in 0..=MOST_REDIRECTS {
        let (mut reply, location) = once(&now)?;
        let follows =
            matches!(reply.status, 301 | 302 | 303 | 307 | 308) && matches!(now.method, "GET" | "HEAD");
        if !follows {
            let is_redirect = matches!(reply.status, 301 | 302 | 303 | 307 | 308);
            let to = location.filter(|_| is_redirect).and_then(|location| target(&now, &location));
            // A path may hold what the address was not to show.
            let hides = now.shown != shown(&now.url, false);
            reply.to = to.map(|to| shown(&to, hides));
            return Ok(reply);
        }
        let Some(location) = location else { return Ok(reply) };
        now = redirected(&now, &location).map_err(Trouble::Lost)?;
    }
    Err(Trouble::Lost(format!(
        "{} redirects in a circle, or more than {MOST_REDIRECTS} times",
        request.shown
    )))
}

/// The next request of a redirect. Another origin gets none of the given headers.
fn redirected(request: &Request, location: &str) -> Result<Request, String> {
    let bad = || format!("{} redirects to an address that cannot be read", request.shown);
    let url = target(request, location).ok_or_else(bad)?;
    let from: Uri = request.url.parse().map_err(|_| bad())?;
    let to: Uri = url.parse().map_err(|_| bad())?;
    if from.scheme_str() == Some("https") && to.scheme_str() != Some("https") {
        return Err(format!("{} redirects from https to an address without it", request.shown));
    }
    let same = to.scheme_str() == from.scheme_str() && to.authority() == from.authority();
    let headers = if same { request.headers.clone() } else { Vec::new() };
    Ok(Request { url, headers, ..request.clone() })
}

/// The whole address that a redirect names.
fn target(request: &Request, location: &str) -> Option<String> {
    let from: Uri = request.url.parse().ok()?;
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let url = if let Some((scheme, rest)) = location.split_once("://") {
        format!("{scheme}://{}", without_login(rest))
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{}", without_login(rest))
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", from.path())
    } else {
        let base = from.path().rsplit_once('/').map_or("", |(base, _)| base);
        format!("{scheme}://{authority}{base}/{location}")
    };
    url.parse::<Uri>().is_ok().then_some(url)
}

/// A server does not give us credentials: whatever it says there would be said to somebody else as ours.
fn without_login(address: &str) -> &str {
    let end = address.find(['/', '?', '#']).unwrap_or(address.len());
    address[..end].rfind('@').map_or(address, |at| &address[at + 1..])
}

fn once(request: &Request) -> Result<(Reply, Option<String>), Trouble> {
    let failed = |error: &ureq::Error| trouble(request, error);
    let mut builder = ureq::http::Request::builder().method(request.method).uri(&request.url);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let unbuilt = |_| {
        let message =
            format!("the request to {} has a header or an address that HTTP does not allow", request.shown);
        Trouble::NotSent(message)
    };
    let agent = agent(request).map_err(Trouble::NotSent)?;
    let answer = match &request.body {
        Some(body) => agent.run(builder.body(body.clone()).map_err(unbuilt)?),
        None => agent.run(builder.body(()).map_err(unbuilt)?),
    };
    let mut answer = answer.map_err(|error| failed(&error))?;
    let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut reply =
        Reply { status: answer.status().as_u16(), headers: headers(answer.headers()), ..Reply::default() };
    let mut bytes = Vec::new();
    let body = answer.body_mut().with_config().limit(LARGEST_BODY + 1).reader();
    if let Err(error) = body.take(LARGEST_BODY + 1).read_to_end(&mut bytes) {
        return Err(Trouble::Lost(format!("the answer of {} broke off: {error}", request.shown)));
    }
    reply.cut = bytes.len() as u64 > LARGEST_BODY;
    bytes.truncate(usize::try_from(LARGEST_BODY).unwrap_or(usize::MAX));
    reply.json = if reply.cut { None } else { serde_json::from_slice(&bytes).ok() };
    reply.body = String::from_utf8_lossy(&bytes).into_owned();
    Ok((reply, location))
}

fn headers(found: &ureq::http::HeaderMap) -> Map<String, Value> {
    let mut headers = Map::new();
    for (name, value) in found {
        if matches!(name.as_str(), "set-cookie" | "set-cookie2") {
            continue;
        }
        let text = without_passwords(String::from_utf8_lossy(value.as_bytes()).into_owned());
        match headers.get_mut(name.as_str()) {
            Some(Value::String(before)) => *before = format!("{before}, {text}"),
            _ => drop(headers.insert(name.as_str().to_owned(), text.into())),
        }
    }
    headers
}

/// The addresses in a header may hold credentials of others, as that of a redirect does.
fn without_passwords(mut text: String) -> String {
    while let Some(password) = written_password(&text).filter(|range| &text[range.clone()] != MASK) {
        text.replace_range(password, MASK);
    }
    text
}

fn agent(request: &Request) -> Result<ureq::Agent, String> {
    let limit = request.limit;
    let roots = match trust::roots() {
        Ok(roots) => roots,
        // Nobody is asked for a certificate there.
        Err(_) if request.url.starts_with("http://") => ureq::tls::RootCerts::WebPki,
        Err(why) => return Err(format!("{} is not trusted: {why}", request.shown)),
    };
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("runplan/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(limit))
        .timeout_connect(Some(CONNECT.min(limit)))
        .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build())
        .build();
    Ok(config.new_agent())
}

fn trouble(request: &Request, error: &ureq::Error) -> Trouble {
    use std::io::ErrorKind;
    let shown = &request.shown;
    match error {
        ureq::Error::HostNotFound => Trouble::NotSent(format!("the host of {shown} is not known")),
        ureq::Error::ConnectionFailed => Trouble::NotSent(format!("{shown} cannot be reached")),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
            Trouble::NotSent(format!("the address of {shown} cannot be used"))
        }
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            Trouble::NotSent(format!("{shown} did not take the connection in time"))
        }
        ureq::Error::Timeout(_) => {
            Trouble::Lost(format!("{shown} did not answer within {} s", request.limit.as_secs_f64()))
        }
        ureq::Error::Io(io) => match io.kind() {
            ErrorKind::ConnectionRefused => Trouble::NotSent(format!("nothing listens at {shown}")),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
                Trouble::NotSent(format!("{shown} cannot be reached: {io}"))
            }
            _ => refused(shown, trust::within(io)).unwrap_or_else(|| {
                Trouble::Lost(format!("the connection to {shown} broke: {}", trust::words(io)))
            }),
        },
        ureq::Error::Rustls(tls) => refused(shown, Some(tls)).unwrap_or_else(|| {
            Trouble::Lost(format!("the exchange with {shown} failed: {}", trust::of_tls(tls)))
        }),
        other => Trouble::Lost(format!("the exchange with {shown} failed: {other}")),
    }
}

/// A certificate is refused in the handshake, before the request.
fn refused(shown: &str, error: Option<&rustls::Error>) -> Option<Trouble> {
    let why = trust::refusal(error?)?;
    Some(Trouble::NotSent(format!("{shown} is not trusted: {why}")))
}

/// An address without its credentials and query.
pub fn shown(url: &str, hide_path: bool) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return "an address that cannot be read".to_owned() };
    let host = uri.host().unwrap_or_default();
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = if hide_path { "" } else { uri.path() };
    format!("{}://{host}{port}{path}", uri.scheme_str().unwrap_or("http"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> Request {
        let headers = vec![("Authorization".to_owned(), "Bearer x".to_owned())];
        Request {
            method: "GET",
            url: url.to_owned(),
            headers,
            body: None,
            limit: LIMIT,
            shown: shown(url, false),
        }
    }

    #[test]
    fn a_redirect_keeps_credentials_at_home() {
        let from = request("https://a.example/x/y?q=1");
        for (location, url, keeps) in [
            ("/z", "https://a.example/z", true),
            ("w", "https://a.example/x/w", true),
            ("?page=2", "https://a.example/x/y?page=2", true),
            ("https://a.example/b", "https://a.example/b", true),
            ("https://a.example:8443/b", "https://a.example:8443/b", false),
            ("https://b.example/", "https://b.example/", false),
            ("//b.example/c", "https://b.example/c", false),
            ("https://u:p@a.example/b@c", "https://a.example/b@c", true),
        ] {
            let next = redirected(&from, location).unwrap();
            assert_eq!((next.url.as_str(), !next.headers.is_empty()), (url, keeps));
        }
        assert!(redirected(&from, "http://a.example/z").is_err());
    }

    #[test]
    fn the_passwords_of_others_are_not_kept() {
        let clean = |text: &str| without_passwords(text.to_owned());
        assert_eq!(clean("http://u:p4ss@a.example/x?y"), "http://u:[redacted]@a.example/x?y");
        assert_eq!(clean("text/html"), "text/html");
    }

    #[test]
    fn what_is_shown_has_no_credentials() {
        assert_eq!(shown("https://u:p@a.example:8/x?token=1", false), "https://a.example:8/x");
        assert_eq!(shown("https://hooks.example/services/T0/B0/XX", true), "https://hooks.example");
    }
}
