//! A mail by SMTP, over TLS unless the site says otherwise. A repeated one has the same Message-ID.

use super::deliver::{LIMIT, Refused, text};
use super::message::Message;
use crate::plan::action::notify::Level;
use crate::plan::site::{Channel, Tls as Wanted};
use crate::steps::world::World;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Message as Mail, SmtpTransport, Transport};
use std::sync::OnceLock;

/// Read once, for however many mails.
static AUTHORITIES: OnceLock<Vec<Certificate>> = OnceLock::new();

const LONGEST_SUBJECT: usize = 200;

pub async fn send(world: &World, channel: &Channel, message: &Message) -> Result<(), Refused> {
    let mail = mail(world, channel, message).await?;
    let transport = transport(world, channel).await?;
    let redactor = world.secrets.redactor();
    let sent = tokio::task::spawn_blocking(move || transport.send(&mail)).await;
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

/// Its certificate was refused: another try meets the same one.
fn is_distrusted(error: &lettre::transport::smtp::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        let io = found.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let inner = io.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if matches!(inner.or_else(|| found.downcast_ref()), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = found.source();
    }
    error.is_tls()
}

fn words(error: &lettre::transport::smtp::Error) -> String {
    let mut text = match error.status() {
        Some(code) => format!("the mail server refused it ({code})"),
        None if error.is_timeout() => "the mail server did not answer in time".to_owned(),
        None if is_distrusted(error) => "the mail server is not trusted".to_owned(),
        None => "the mail could not be sent".to_owned(),
    };
    if let Some(cause) = std::error::Error::source(error) {
        text = format!("{text}: {cause}");
    }
    text
}

async fn transport(world: &World, channel: &Channel) -> Result<SmtpTransport, Refused> {
    let Some(server) = &channel.server else { return Err(Refused::never("the channel has no `server`")) };
    let server = text(world, server).await?;
    let port = port(channel);
    let tls = match channel.tls {
        Wanted::Tls => Tls::Wrapper(trust(&server)?),
        Wanted::Starttls => Tls::Required(trust(&server)?),
        Wanted::None => Tls::None,
    };
    let mut builder = SmtpTransport::builder_dangerous(server).port(port).tls(tls).timeout(Some(LIMIT));
    if let (Some(user), Some(password)) = (&channel.user, &channel.password) {
        builder =
            builder.credentials(Credentials::new(text(world, user).await?, text(world, password).await?));
    }
    Ok(builder.build())
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
