//! A mail by SMTP, over TLS unless the site says otherwise. A repeated one has the same Message-ID.

use super::deliver::{LIMIT, Refused, text};
use super::message::Message;
use crate::plan::action::notify::Level;
use crate::plan::site::{Channel, Tls as Wanted};
use crate::steps::http::trust::{self, Distrust};
use crate::steps::world::World;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes};
use lettre::transport::smtp::SmtpTransportBuilder;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Message as Mail, SmtpTransport, Transport};
use std::sync::OnceLock;
use std::time::Duration;

/// Read once, for however many mails.
static AUTHORITIES: OnceLock<Vec<Certificate>> = OnceLock::new();

const LONGEST_SUBJECT: usize = 200;

pub async fn send(world: &World, channel: &Channel, message: &Message) -> Result<(), Refused> {
    let mail = mail(world, channel, message).await?;
    let transport = transport(world, channel).await?;
    let redactor = world.secrets.redactor();
    // Its own limit is for each answer, of which there are many.
    let sending = tokio::task::spawn_blocking(move || transport.send(&mail));
    let Ok(sent) = tokio::time::timeout(LIMIT, sending).await else {
        return Err(Refused::now("the mail server did not answer in time"));
    };
    match sent {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Refused {
            again: !error.is_permanent() && !error.is_client() && !is_distrusted(&error),
            why: redactor.clean(&words(&error)),
            after: None,
        }),
        Err(error) => Err(Refused::now(format!("the mail ended oddly: {error}"))),
    }
}

/// Asks the mail server of a channel who it is, as a mail would, and sends none.
///
/// # Errors
/// It would not be trusted, or takes no mail.
pub async fn prove(world: &World, channel: &Channel, limit: Duration) -> Result<(), Distrust> {
    let broken = |refused: Refused| Distrust::Broken(refused.why);
    // Whose name and password it takes is not tried: some servers lock an account for that.
    let transport = bare(world, channel, limit).await.map_err(broken)?.build();
    let redactor = world.secrets.redactor();
    match tokio::task::spawn_blocking(move || transport.test_connection()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if is_distrusted(&error) => Err(Distrust::Refused(distrust(&error))),
        Ok(Err(error)) => Err(Distrust::Broken(redactor.clean(&words(&error)))),
        Err(error) => Err(Distrust::Broken(format!("it ended oddly: {error}"))),
    }
}

/// Its certificate was refused: another try meets the same one.
fn is_distrusted(error: &lettre::transport::smtp::Error) -> bool {
    error.is_tls() || refusal(error).is_some()
}

fn refusal(error: &lettre::transport::smtp::Error) -> Option<String> {
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        let io = found.downcast_ref::<std::io::Error>().and_then(trust::within);
        if let Some(why) = io.or_else(|| found.downcast_ref()).and_then(trust::refusal) {
            return Some(why);
        }
        cause = found.source();
    }
    None
}

/// Why it is not trusted.
fn distrust(error: &lettre::transport::smtp::Error) -> String {
    let cause = || std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    refusal(error).unwrap_or_else(cause)
}

fn words(error: &lettre::transport::smtp::Error) -> String {
    if is_distrusted(error) {
        return format!("the mail server is not trusted: {}", distrust(error));
    }
    let mut text = match error.status() {
        Some(code) => format!("the mail server refused it ({code})"),
        None if error.is_timeout() => "the mail server did not answer in time".to_owned(),
        None => "the mail could not be sent".to_owned(),
    };
    if let Some(cause) = std::error::Error::source(error) {
        text = format!("{text}: {cause}");
    }
    text
}

async fn transport(world: &World, channel: &Channel) -> Result<SmtpTransport, Refused> {
    let builder = bare(world, channel, LIMIT).await?;
    let (Some(user), Some(password)) = (&channel.user, &channel.password) else { return Ok(builder.build()) };
    let account = Credentials::new(text(world, user).await?, text(world, password).await?);
    Ok(builder.credentials(account).build())
}

/// Without an account.
async fn bare(world: &World, channel: &Channel, limit: Duration) -> Result<SmtpTransportBuilder, Refused> {
    let Some(server) = &channel.server else { return Err(Refused::never("the channel has no `server`")) };
    let server = text(world, server).await?;
    let port = port(channel);
    let tls = match channel.tls {
        Wanted::Tls => Tls::Wrapper(trust(&server)?),
        Wanted::Starttls => Tls::Required(trust(&server)?),
        Wanted::None => Tls::None,
    };
    Ok(SmtpTransport::builder_dangerous(server).port(port).tls(tls).timeout(Some(limit)))
}

/// The port of the channel's mail server.
pub fn port(channel: &Channel) -> u16 {
    let usual = match channel.tls {
        Wanted::Tls => 465,
        Wanted::Starttls => 587,
        Wanted::None => 25,
    };
    channel.port.as_ref().map_or(usual, |port| port.value)
}

/// The authorities that this machine trusts; the company's own are among them.
fn authorities() -> Vec<Certificate> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.into_iter().filter_map(|one| Certificate::from_der(one.to_vec()).ok()).collect()
}

fn trust(server: &str) -> Result<TlsParameters, Refused> {
    let mut builder = TlsParameters::builder(server.to_owned()).certificate_store(CertificateStore::None);
    for certificate in AUTHORITIES.get_or_init(authorities) {
        builder = builder.add_root_certificate(certificate.clone());
    }
    builder.build_rustls().map_err(|error| Refused::never(format!("TLS cannot be used: {error}")))
}

async fn mail(world: &World, channel: &Channel, message: &Message) -> Result<Mail, Refused> {
    let Some(from) = &channel.from else { return Err(Refused::never("the channel has no `from`")) };
    let from: Mailbox = address(&text(world, from).await?)?;
    let mut to = Mailboxes::new();
    for one in &channel.to {
        to.push(address(&text(world, one).await?)?);
    }
    let domain = from.email.domain().to_owned();
    let loud = match message.level {
        Level::Info => "",
        Level::Warning => "warning: ",
        Level::Critical => "CRITICAL: ",
    };
    let subject: String =
        format!("[runplan] {loud}{}", message.headline()).chars().take(LONGEST_SUBJECT).collect();
    let mut builder = Mail::builder().from(from).subject(subject);
    for one in to {
        builder = builder.to(one);
    }
    builder = builder
        .message_id(Some(format!("<{}.runplan@{domain}>", message.key)))
        .raw_header(named("X-Runplan-Run", &message.run))
        .raw_header(named("Auto-Submitted", "auto-generated"));
    if message.level == Level::Critical {
        builder = builder.raw_header(named("X-Priority", "1"));
    }
    let body = format!(
        "{}\n\n-- \nrun {}, plan {}, {}\n",
        message.whole(),
        message.run,
        message.plan,
        message.subject
    );
    builder
        .header(ContentType::TEXT_PLAIN)
        .body(body)
        .map_err(|error| Refused::never(format!("the mail cannot be made: {error}")))
}

fn named(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn address(text: &str) -> Result<Mailbox, Refused> {
    text.parse().map_err(|_| Refused::never(format!("`{text}` is not a mail address")))
}
