//! What a decision is signed with: a key file or the SSH agent. Must never show, keep or pass on a private key or passphrase.

use super::agent::Agent;
use super::error::Error;
use crate::run::{NAMESPACE, Signed};
use crate::secret::Secret;
use crate::terminal::{self, Screen};
use rsa::RsaPrivateKey;
use rsa::pkcs1v15::SigningKey as SigningPair;
use rsa::signature::{SignatureEncoding, Signer};
use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::public::KeyData;
use ssh_key::sha2::Sha512;
use ssh_key::{Algorithm, HashAlg, LineEnding, Mpint, PrivateKey, PublicKey, Signature, SshSig};
use std::path::Path;

/// A key that signs.
pub enum SigningKey {
    File(Box<PrivateKey>),
    Agent(Agent, KeyData),
}

impl SigningKey {
    /// The key of that file, or the agent's first that is one of these.
    ///
    /// # Errors
    /// The file holds none, its passphrase is wrong or nobody can be asked for it, the agent has none of these.
    pub fn find(screen: &Screen, file: Option<&Path>, listed: &[String]) -> Result<Self, Error> {
        if let Some(path) = file {
            return Ok(Self::File(Box::new(unlocked(screen, path)?)));
        }
        let Some(mut agent) = Agent::connect()? else {
            return Err(Error::usage_with(
                "the decision must be signed, and there is no SSH agent here",
                "sign with --key FILE, start an agent and `ssh-add` the key, or write it with --out FILE to sign it elsewhere",
            ));
        };
        let listed: Vec<PublicKey> =
            listed.iter().filter_map(|line| PublicKey::from_openssh(line).ok()).collect();
        let held = agent.keys()?;
        let known = held.into_iter().find(|key| listed.iter().any(|listed| listed.key_data() == key));
        match known {
            Some(key) => Ok(Self::Agent(agent, key)),
            None => Err(Error::usage_with(
                "the SSH agent holds none of the keys that the site file lists",
                "`ssh-add` the key, or sign with --key FILE",
            )),
        }
    }

    /// The public half, as in `authorized_keys`.
    pub fn public(&self) -> String {
        let key = match self {
            Self::File(key) => key.public_key().clone(),
            Self::Agent(_, key) => PublicKey::from(key.clone()),
        };
        key.to_openssh().unwrap_or_default()
    }

    /// Whether it is one of these.
    pub fn is_among(&self, listed: &[String]) -> bool {
        let own = PublicKey::from_openssh(&self.public()).ok();
        listed
            .iter()
            .filter_map(|line| PublicKey::from_openssh(line).ok())
            .any(|listed| own.as_ref().is_some_and(|own| own.key_data() == listed.key_data()))
    }

    /// Signs a decision.
    ///
    /// # Errors
    /// The agent does not, or the key cannot.
    pub fn sign(self, text: String) -> Result<Signed, Error> {
        let cannot = |error: ssh_key::Error| {
            Error::usage_with(
                format!("this key cannot sign: {error}"),
                "use an ed25519, ECDSA or RSA key; one on a token signs through the SSH agent",
            )
        };
        let signature = match self {
            Self::File(key) => match key.key_data() {
                KeypairData::Rsa(pair) => {
                    let data =
                        SshSig::signed_data(NAMESPACE, HashAlg::Sha512, text.as_bytes()).map_err(cannot)?;
                    let signature = by_rsa(pair, &data).map_err(cannot)?;
                    let public = key.public_key().key_data().clone();
                    SshSig::new(public, NAMESPACE, HashAlg::Sha512, signature).map_err(cannot)?
                }
                _ => key.sign(NAMESPACE, HashAlg::Sha512, text.as_bytes()).map_err(cannot)?,
            },
            Self::Agent(mut agent, key) => {
                let data =
                    SshSig::signed_data(NAMESPACE, HashAlg::Sha512, text.as_bytes()).map_err(cannot)?;
                let signature = agent.sign(&key, &data)?;
                SshSig::new(key, NAMESPACE, HashAlg::Sha512, signature).map_err(cannot)?
            }
        };
        Ok(Signed { text, signature: signature.to_pem(LineEnding::LF).map_err(cannot)? })
    }
}

fn by_rsa(pair: &RsaKeypair, data: &[u8]) -> Result<Signature, ssh_key::Error> {
    let number = |part: &Mpint| rsa::BigUint::try_from(part);
    let primes = vec![number(&pair.private.p)?, number(&pair.private.q)?];
    let (n, e, d) = (number(&pair.public.n)?, number(&pair.public.e)?, number(&pair.private.d)?);
    let key = RsaPrivateKey::from_components(n, e, d, primes).map_err(|_| ssh_key::Error::Crypto)?;
    let signature = SigningPair::<Sha512>::new(key).try_sign(data).map_err(|_| ssh_key::Error::Crypto)?;
    Signature::new(Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, signature.to_vec())
}

/// Why that file is no private key, and what to give instead.
fn fault(path: &Path, error: &ssh_key::Error) -> (String, &'static str) {
    if !path.exists() {
        return ("there is no such file".to_owned(), "give the path of a private key");
    }
    if PublicKey::read_openssh_file(path).is_ok() {
        return ("this is the public key".to_owned(), "give the file without `.pub`");
    }
    let help = "give a private key in OpenSSH's format; `ssh-keygen -p -f FILE` rewrites an old one";
    (error.to_string(), help)
}

fn unlocked(screen: &Screen, path: &Path) -> Result<PrivateKey, Error> {
    let name = path.display();
    let key = PrivateKey::read_openssh_file(path).map_err(|error| {
        let (why, help) = fault(path, &error);
        Error::Unreadable { path: path.to_path_buf(), why, help: help.to_owned() }
    })?;
    if !key.is_encrypted() {
        return Ok(key);
    }
    let unasked = || {
        Error::usage_with(
            format!("{name} has a passphrase, and nobody can be asked for it here"),
            "`ssh-add` the key and sign with the agent, or run this on a terminal",
        )
    };
    if !screen.is_attended() {
        return Err(unasked());
    }
    let not_empty =
        |text: &str| if text.is_empty() { Err("a passphrase is wanted".to_owned()) } else { Ok(()) };
    let prompt = format!("Passphrase of {name}");
    let typed = terminal::ask_value(screen, &prompt, None, true, &not_empty).map(Secret::new);
    let passphrase = typed.ok_or_else(unasked)?;
    key.decrypt(passphrase.expose())
        .map_err(|_| Error::usage_with(format!("the passphrase of {name} is wrong"), "type it again"))
}
