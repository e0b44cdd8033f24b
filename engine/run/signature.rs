//! SSH signatures of decisions (SSHSIG), as `ssh-keygen -Y sign` makes and `ssh-keygen -Y verify` proves them. Pure; must never
//! take a signature for good that was made for another purpose, by a key that is not listed, or over another text.

use serde::{Deserialize, Serialize};
use ssh_key::{HashAlg, PublicKey, SshSig};

/// What these signatures are for; one for another purpose is none.
pub const NAMESPACE: &str = "runplan-approval";
/// A longer one is none.
const LONGEST: usize = 1 << 16;

/// A decision with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The canonical decision: what was signed, byte for byte.
    pub text: String,
    /// `-----BEGIN SSH SIGNATURE-----`, armoured.
    pub signature: String,
}

/// The key that a good signature was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// As in `authorized_keys`.
    pub key: String,
    /// `SHA256:...`
    pub fingerprint: String,
}

/// Why a signature is not one of these keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the signature cannot be read")]
    Unreadable,
    #[error("it was signed with another key ({0})")]
    OtherKey(String),
    #[error("it was signed for another purpose (`{0}`, not `{NAMESPACE}`)")]
    OtherPurpose(String),
    #[error("the signature does not fit: the decision or the signature was changed after it was signed")]
    Forged,
}

impl Signed {
    /// Proves that one of these keys signed the text.
    ///
    /// # Errors
    /// None of them did.
    pub fn verify<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Result<Signer, Fault> {
        let signature = self.read()?;
        let used = PublicKey::from(signature.public_key().clone());
        let listed = keys.into_iter().filter_map(|line| PublicKey::from_openssh(line).ok());
        let Some(key) = listed.into_iter().find(|key| key.key_data() == used.key_data()) else {
            return Err(Fault::OtherKey(used.fingerprint(HashAlg::Sha256).to_string()));
        };
        if signature.namespace() != NAMESPACE {
            return Err(Fault::OtherPurpose(signature.namespace().to_owned()));
        }
        key.verify(NAMESPACE, self.text.as_bytes(), &signature).map_err(|_| Fault::Forged)?;
        Ok(Signer {
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            key: used.to_openssh().unwrap_or_default().trim().to_owned(),
        })
    }

    /// Whether both were made with one key, whoever it is listed for.
    pub fn has_key_of(&self, other: &Self) -> bool {
        let keys = (self.read(), other.read());
        matches!(keys, (Ok(mine), Ok(other)) if mine.public_key() == other.public_key())
    }

    fn read(&self) -> Result<SshSig, Fault> {
        if self.signature.len() > LONGEST {
            return Err(Fault::Unreadable);
        }
        SshSig::from_pem(self.signature.trim_end()).map_err(|_| Fault::Unreadable)
    }
}
