//! A webhook: a POST of JSON, signed when the channel has a secret. The signature covers the time too, so that a message
//! that somebody kept cannot be played again.

use super::deliver::{Refused, json_request, text, url};
use super::message::Message;
use crate::clock;
use crate::plan::site::Channel;
use crate::steps::http::exchange::Request;
use crate::steps::world::World;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::fmt::Write;

/// `t=SECONDS,v1=HEX` of `SECONDS.BODY`.
const SIGNATURE: &str = "X-Runplan-Signature";

pub async fn request(world: &World, channel: &Channel, message: &Message) -> Result<Request, Refused> {
    let body = body(message);
    let mut headers = vec![("Idempotency-Key".to_owned(), message.key.clone())];
    for (name, value) in channel.headers.iter() {
        headers.push((name.value.clone(), text(world, value).await?));
    }
    if let Some(secret) = &channel.secret {
        let at = clock::now().as_second();
        let signed = signature(text(world, secret).await?.as_bytes(), at, &body.to_string());
        headers.push((SIGNATURE.to_owned(), signed.ok_or_else(|| Refused::never("the secret cannot sign"))?));
    }
    Ok(json_request(url(world, channel).await?, headers, &body))
}

fn body(message: &Message) -> Value {
    json!({
        "format": 1,
        "run": message.run,
        "plan": message.plan,
        "step": message.subject,
        "event": message.occasion.map(|occasion| occasion.word()),
        "level": message.level.word(),
        "message": message.text,
        "details": message.details,
        "idempotency_key": message.key,
    })
}

fn signature(secret: &[u8], at: i64, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(format!("{at}.{body}").as_bytes());
    let mut hex = String::new();
    for byte in mac.finalize().into_bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    Some(format!("t={at},v1={hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_openssl_makes_of_it() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        let signed = signature(b"secret", 1_700_000_000, "{\"a\":1}").unwrap();
        let hex = signed.strip_prefix("t=1700000000,v1=").unwrap();
        assert_eq!(hex.len(), 64);
        assert_eq!(hex, EXPECTED);
    }

    const EXPECTED: &str = "49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686";
}
