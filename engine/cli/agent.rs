//! The SSH agent: which keys it holds, and signatures by them. It speaks the agent's protocol over SSH_AUTH_SOCK alone; must
//! never wait for it without end, nor take more from it than a signature can be.

use super::error::Error;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, PublicKey, Signature};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// RSA with SHA-512; other kinds of keys do not look at it.
const RSA_SHA2_512: u32 = 4;
/// An agent's own limit.
const LONGEST: usize = 256 * 1024;
/// A person may have to touch a token or type a passphrase into the agent's own window.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to the agent.
pub struct Agent(UnixStream);

impl Agent {
    /// None: there is no agent here.
    ///
    /// # Errors
    /// There should be one, and it does not answer.
    pub fn connect() -> Result<Option<Self>, Error> {
        let Some(path) = std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let connected = UnixStream::connect(&path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => Ok(Some(Self(stream))),
            Err(error) => Err(silent(&format!("SSH_AUTH_SOCK ({}): {error}", path.display()))),
        }
    }

    /// The keys that it holds.
    ///
    /// # Errors
    /// It does not answer.
    pub fn keys(&mut self) -> Result<Vec<KeyData>, Error> {
        let answer = self.ask(&[REQUEST_IDENTITIES])?;
        let mut rest = Wire(&answer);
        if rest.byte() != Some(IDENTITIES) {
            return Err(silent("it does not tell its keys"));
        }
        let count = rest.number().unwrap_or(0);
        let mut keys = Vec::new();
        for _ in 0..count {
            let (Some(key), Some(_)) = (rest.bytes(), rest.bytes()) else { break };
            // A certificate, or a kind of key of a later time.
            keys.extend(PublicKey::from_bytes(key).ok().map(|key| key.key_data().clone()));
        }
        Ok(keys)
    }

    /// A signature over this data.
    ///
    /// # Errors
    /// The agent, or the person it asks, does not sign.
    pub fn sign(&mut self, key: &KeyData, data: &[u8]) -> Result<Signature, Error> {
        let blob = PublicKey::from(key.clone()).to_bytes().map_err(|error| silent(&error.to_string()))?;
        let flags = if matches!(key.algorithm(), Algorithm::Rsa { .. }) { RSA_SHA2_512 } else { 0 };
        let mut request = vec![SIGN_REQUEST];
        for part in [blob.as_slice(), data] {
            request.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            request.extend(part);
        }
        request.extend(flags.to_be_bytes());
        let answer = self.ask(&request)?;
        let mut rest = Wire(&answer);
        let signature = (rest.byte() == Some(SIGN_RESPONSE)).then(|| rest.bytes()).flatten();
        signature.and_then(|signature| Signature::try_from(signature).ok()).ok_or_else(|| {
            let name = PublicKey::from(key.clone()).fingerprint(HashAlg::Sha256);
            Error::usage_with(
                format!("the SSH agent did not sign with {name}"),
                "unlock it, touch the token or confirm it in the agent's window; or sign with --key FILE",
            )
        })
    }

    fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |error: std::io::Error| silent(&error.to_string());
        let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
        self.0.write_all(&length.to_be_bytes()).map_err(failed)?;
        self.0.write_all(request).map_err(failed)?;
        let mut length = [0; 4];
        self.0.read_exact(&mut length).map_err(failed)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > LONGEST {
            return Err(silent("its answer is too long"));
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).map_err(failed)?;
        Ok(answer)
    }
}

fn silent(why: &str) -> Error {
    Error::usage_with(
        format!("the SSH agent cannot be asked: {why}"),
        "start it (`eval $(ssh-agent)`, `ssh-add`), or sign with --key FILE",
    )
}

/// What is left of an answer.
struct Wire<'b>(&'b [u8]);

impl<'b> Wire<'b> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Wire;

    #[test]
    fn an_answer_that_is_cut_short_is_not_read_past_its_end() {
        let mut wire = Wire(&[12, 0, 0, 0, 1, 0, 0, 0, 9, 1, 2]);
        assert_eq!((wire.byte(), wire.number(), wire.bytes()), (Some(12), Some(1), None));
    }
}
