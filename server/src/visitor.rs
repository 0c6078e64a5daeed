//! Who asks, and what that entitles to: a page's client id belongs to its session, any other to whoever knows it.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;

use crate::arrival::{Arrival, Proxies};
use crate::error::Failure;
use crate::ids::ClientId;
use crate::origins::Origins;
use crate::session::{Session, Sessions};

/// What tells visitors apart. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    pub sessions: Sessions,
    pub origins: Origins,
    pub proxies: Proxies,
}

/// Whoever sent a request that the origin of its page, if it has one, may send.
#[derive(Clone)]
pub struct Visitor {
    pub arrival: Arrival,
    pub session: Option<Session>,
    names_origin: bool,
    sessions: Sessions,
}

impl Visitor {
    /// Waits until the session ends, as its own clock says; a visitor without one stays.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn leaves(&self) {
        match &self.session {
            Some(session) => tokio::time::sleep(session.remaining()).await,
            None => std::future::pending().await,
        }
    }

    /// Whether this visitor may hear of what is done under an id.
    ///
    /// # Errors
    /// `client_id_foreign` for an id of another session's page.
    pub fn may_listen(&self, client: &ClientId) -> Result<(), Failure> {
        let owns = |session: &Session| self.sessions.owns(session, client);
        if client.is_of_a_page() && !self.session.as_ref().is_some_and(owns) {
            tracing::info!(client.address = %self.arrival.address, "an id of another session was refused");
            return Err(Failure::ClientIdForeign);
        }
        Ok(())
    }

    /// The same for what changes something, or opens a socket: there a browser always names the page's origin.
    ///
    /// # Errors
    /// `origin_refused` where a page's id comes without an origin, and as [`Visitor::may_listen`].
    pub fn may_act(&self, client: &ClientId) -> Result<(), Failure> {
        if client.is_of_a_page() && !self.names_origin {
            return Err(Failure::OriginRefused);
        }
        self.may_listen(client)
    }
}

impl<S> FromRequestParts<S> for Visitor
where
    S: Send + Sync,
    Access: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Access { sessions, origins, .. } = Access::from_ref(state);
        let Ok(arrival) = Arrival::from_request_parts(parts, state).await;
        let names_origin = origins.admit(&parts.headers, &arrival)?;
        let session = sessions.read(&parts.headers, arrival.is_secure);
        Ok(Self { arrival, session, names_origin, sessions })
    }
}
