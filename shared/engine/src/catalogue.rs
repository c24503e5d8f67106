//! The index of the bundle in force: who is registered, which issuers are trusted, what may be asked for.

use std::sync::{Arc, Mutex, PoisonError};

use brevet_domain::bundle::{INDEX_PART, Index};
use brevet_domain::canonical::Digest;

use crate::port::{BundleSource, PortError, PortResult};

/// Reads the index, again only when another bundle is in force.
pub struct Catalogue {
    source: Arc<dyn BundleSource>,
    last: Mutex<Option<(Digest, Arc<Index>)>>,
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalogue").finish_non_exhaustive()
    }
}

impl Catalogue {
    /// A catalogue that reads from `source`.
    #[must_use]
    pub fn new(source: Arc<dyn BundleSource>) -> Self {
        Self { source, last: Mutex::new(None) }
    }

    /// The digest and index in force now. The digest is read each time, so that a new bundle holds at once.
    ///
    /// # Errors
    ///
    /// [`PortError`] if no bundle was published, or it cannot be read or is not what its digest says: fail closed.
    pub async fn current(&self) -> PortResult<(Digest, Arc<Index>)> {
        let unreadable = |what: String| PortError::Unreadable { operation: "bundle:Read", what };
        let digest = self.source.current().await?.ok_or_else(|| unreadable("no bundle was published".to_owned()))?;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((known, index)) = last.filter(|(known, _)| *known == digest) {
            return Ok((known, index));
        }
        let text = self.source.bundle(digest, Some(&[INDEX_PART])).await?;
        // Compared here too: a source that answers another bundle must not pass for this one.
        if text.digest != digest {
            return Err(unreadable(format!("asked for bundle `{digest}`, got `{}`", text.digest)));
        }
        let index = Arc::new(text.index().map_err(|error| unreadable(error.to_string()))?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((digest, Arc::clone(&index)));
        Ok((digest, index))
    }
}
