//! Whose store it is: the project is noted at its first answer, and nothing is sent to another one.
//!
//! A project is its address and app id, kept as a hash. Compared whenever credentials are read, so
//! also when others are stored while the daemon runs.

use std::sync::{Arc, Mutex, PoisonError};

use secrecy::ExposeSecret;

use super::{Error, now, parts};
use crate::config::credentials::{self, Surroundings};
use crate::config::{Api, Config};
use crate::remote::{self, Carrier, Sending};
use crate::store::{self, Store, backup};
use crate::wire::{Answer, Call};

/// Under this name the store keeps its project.
pub const PROJECT: &str = "project";

/// Under this name `status` finds why nothing is sent.
pub const REBIND: &str = "rebind";

/// Why nothing may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strange {
    OtherProject,
    Restored,
}

impl Strange {
    pub fn text(self) -> &'static str {
        match self {
            Strange::OtherProject => {
                "the credentials are of another project than the one that the store was delivered to: `tillsync rebind`"
            }
            Strange::Restored => {
                "the store was restored from a backup, and what was sent since is not known: `tillsync rebind`"
            }
        }
    }
}

/// The project that the present credentials open; `Err`: why there are none, in words.
pub fn present(config: &Config) -> Result<String, String> {
    match credentials::read(&config.api, &Surroundings::of_process()) {
        Ok((found, _)) => Ok(name(&config.api, found.app_id.expose_secret())),
        Err(absent) => Err(absent.to_string()),
    }
}

fn name(api: &Api, app_id: &str) -> String {
    let text = format!("{}\0{app_id}", api.url);
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// What stands between this store and this project. `None`: nothing.
pub fn strange(store: &Store, project: &str) -> Result<Option<Strange>, store::Error> {
    if store.integer(backup::COPIED)?.is_some() {
        return Ok(Some(Strange::Restored));
    }
    let bound = store.text(PROJECT)?;
    Ok(match bound {
        Some(bound) if bound != project => Some(Strange::OtherProject),
        _ => None,
    })
}

/// The way to the store's own project, and to no other.
pub fn carrier(config: &Config, store: &Store) -> Result<Arc<dyn Carrier>, Error> {
    let opened = Arc::new(Mutex::new(None));
    let (api, noted, reader) = (config.api.clone(), opened.clone(), store.clone());
    let source = move || {
        let (found, _) = credentials::read(&api, &Surroundings::of_process())
            .map_err(|absent| absent.to_string())?;
        let project = name(&api, found.app_id.expose_secret());
        let strange = strange(&reader, &project).map_err(|error| error.to_string())?;
        tell(&reader, strange).map_err(|error| error.to_string())?;
        if let Some(strange) = strange {
            return Err(strange.text().to_owned());
        }
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(project);
        Ok(remote::Credentials {
            app_id: found.app_id,
            app_token: found.app_token,
        })
    };
    Ok(Arc::new(Own {
        inner: parts::carrier_from(config, Box::new(source))?,
        store: store.clone(),
        opened,
    }))
}

/// For `status`; written only when it changes.
fn tell(store: &Store, strange: Option<Strange>) -> Result<(), store::Error> {
    let told = store.text(REBIND)?;
    match strange {
        None if told.is_some() => store.clear(REBIND),
        Some(strange) if told.is_none() => {
            let told = serde_json::json!({"at": now(), "message": strange.text()});
            store.set_text(REBIND, &told.to_string())
        }
        _ => Ok(()),
    }
}

struct Own {
    inner: Arc<dyn Carrier>,
    store: Store,
    /// The project of credentials that were read and not yet taken by the remote.
    opened: Arc<Mutex<Option<String>>>,
}

impl Carrier for Own {
    fn send(&self, call: Call) -> Sending<'_> {
        Box::pin(async move {
            let answer = self.inner.send(call).await;
            let taken = matches!(&answer, Answer::Got(r) if (200..300).contains(&r.status));
            if taken {
                let project = self
                    .opened
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                if let Some(project) = project
                    && self.store.text(PROJECT).is_ok_and(|bound| bound.is_none())
                {
                    // Without room for it the next start notes it.
                    let _ = self.store.set_text(PROJECT, &project);
                }
            }
            answer
        })
    }
}
