//! How much one session, or one address, may do: at once, and in an hour.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Quota;
use crate::peer::Pace;
use crate::visitor::Visitor;

const HOUR: Duration = Duration::from_secs(3600);
/// Bytes are counted in these, so that an hour's fit a pace.
const KIB: u64 = 1024;
/// Between two looks for those who have done nothing lately.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// One more at once may be welcome so soon: as soon as another of them ends.
const SOON: Duration = Duration::from_secs(5);

/// Counts what visitors do. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Quotas(Arc<Shared>);

struct Shared {
    quota: Quota,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: HashMap<Who, Used>,
    forgot_at: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Session(String),
    /// Of IPv6 the network: one client has the rest of it to choose from.
    Address(IpAddr),
}

#[derive(Default)]
struct Used {
    at_once: [usize; 2],
    files: Option<Pace>,
    kib: Option<Pace>,
}

/// What is counted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Upload,
    Socket,
}

/// Too much; more may be welcome after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch {
    pub retry_after: Duration,
}

/// One upload or socket, while it lasts.
pub struct Place {
    quotas: Quotas,
    kind: Kind,
    who: [Option<Who>; 2],
}

impl Quotas {
    #[must_use]
    pub fn new(quota: &Quota) -> Self {
        Self(Arc::new(Shared { quota: quota.clone(), state: Mutex::default() }))
    }

    /// One more upload, of so many files and bytes.
    ///
    /// # Errors
    /// The session or the address has too many of them, or had too much in the last hour.
    pub fn upload(&self, visitor: &Visitor, files: u32, bytes: u64) -> Result<Place, TooMuch> {
        self.take(visitor, Kind::Upload, files, bytes)
    }

    /// One more socket.
    ///
    /// # Errors
    /// As [`Quotas::upload`].
    pub fn socket(&self, visitor: &Visitor) -> Result<Place, TooMuch> {
        self.take(visitor, Kind::Socket, 0, 0)
    }

    fn take(&self, visitor: &Visitor, kind: Kind, files: u32, bytes: u64) -> Result<Place, TooMuch> {
        let session = visitor.session.as_ref().map(|session| Who::Session(session.id().to_owned()));
        let who = [session, Some(Who::Address(network(visitor.arrival.address)))];
        let who = who.map(|who| who.filter(|who| self.is_limited(who)));
        let now = Instant::now();
        let mut state = self.lock();
        state.forget(now);
        for who in who.iter().flatten() {
            let used = state.used.get(who);
            if self
                .most_at_once(who, kind)
                .is_some_and(|most| used.is_some_and(|used| used.at_once[kind as usize] >= most))
            {
                return Err(TooMuch { retry_after: SOON });
            }
        }
        if let Some(session @ Who::Session(_)) = &who[0]
            && kind == Kind::Upload
        {
            let used = state.used.entry(session.clone()).or_default();
            let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
            let quota = &self.0.quota;
            let mut paces = [
                (pace(&mut used.files, quota.files_per_hour.map(u64::from)), files),
                (pace(&mut used.kib, quota.bytes_per_hour.map(|bytes| bytes.as_u64() / KIB)), kib),
            ];
            let welcome =
                paces.iter().filter_map(|(pace, units)| pace.as_ref()?.welcomes_at(*units, now)).max();
            if let Some(at) = welcome {
                return Err(TooMuch { retry_after: at - now });
            }
            for (pace, units) in &mut paces {
                pace.as_mut().map(|pace| pace.take(*units, now));
            }
        }
        for who in who.iter().flatten() {
            state.used.entry(who.clone()).or_default().at_once[kind as usize] += 1;
        }
        drop(state);
        Ok(Place { quotas: self.clone(), kind, who })
    }

    fn most_at_once(&self, who: &Who, kind: Kind) -> Option<usize> {
        let quota = &self.0.quota;
        match (who, kind) {
            (Who::Session(_), Kind::Upload) => Some(quota.max_uploads_per_session),
            (Who::Session(_), Kind::Socket) => Some(quota.max_sockets_per_session),
            (Who::Address(_), Kind::Upload) => quota.max_uploads_per_address,
            (Who::Address(_), Kind::Socket) => quota.max_sockets_per_address,
        }
    }

    fn is_limited(&self, who: &Who) -> bool {
        [Kind::Upload, Kind::Socket].into_iter().any(|kind| self.most_at_once(who, kind).is_some())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        if self.forgot_at.is_none_or(|at| now - at >= FORGET_EVERY) {
            self.forgot_at = Some(now);
            self.used.retain(|_, used| !used.is_idle(now));
        }
    }
}

impl Used {
    fn is_idle(&self, now: Instant) -> bool {
        self.at_once == [0, 0] && [&self.files, &self.kib].into_iter().flatten().all(|pace| pace.is_full(now))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.quotas.lock();
        let now = Instant::now();
        for who in self.who.iter().flatten() {
            if let Some(used) = state.used.get_mut(who) {
                used.at_once[self.kind as usize] = used.at_once[self.kind as usize].saturating_sub(1);
                if used.is_idle(now) {
                    state.used.remove(who);
                }
            }
        }
    }
}

/// The pace of so many units an hour, all of which may come at once.
fn pace(kept: &mut Option<Pace>, units: Option<u64>) -> Option<&mut Pace> {
    let units = u32::try_from(units?).unwrap_or(u32::MAX).max(1);
    Some(kept.get_or_insert_with(|| Pace::new(HOUR / units, units)))
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}
