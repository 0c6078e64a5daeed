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

/// What somebody asks for.
#[derive(Clone, Copy, Debug)]
struct Demand {
    kind: Kind,
    files: u32,
    kib: u32,
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
    who: Vec<Who>,
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
        let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
        self.take(visitor, Demand { kind: Kind::Upload, files, kib })
    }

    /// One more socket.
    ///
    /// # Errors
    /// As [`Quotas::upload`].
    pub fn socket(&self, visitor: &Visitor) -> Result<Place, TooMuch> {
        self.take(visitor, Demand { kind: Kind::Socket, files: 0, kib: 0 })
    }

    fn take(&self, visitor: &Visitor, demand: Demand) -> Result<Place, TooMuch> {
        let session = visitor.session.as_ref().map(|session| Who::Session(session.id().to_owned()));
        let address = Who::Address(network(visitor.arrival.address));
        let who: Vec<Who> = session.into_iter().chain([address]).filter(|who| self.is_limited(who)).collect();
        let now = Instant::now();
        let mut state = self.lock();
        state.forget(now);
        for who in &who {
            let most = self.most_at_once(who, demand.kind);
            let used = state.used.entry(who.clone()).or_insert_with(|| self.unused(who));
            used.admits(demand, most, now)?;
        }
        for who in &who {
            state.used.entry(who.clone()).and_modify(|used| used.begin(demand, now));
        }
        drop(state);
        Ok(Place { quotas: self.clone(), kind: demand.kind, who })
    }

    fn unused(&self, who: &Who) -> Used {
        let quota = &self.0.quota;
        let is_session = matches!(who, Who::Session(_));
        let hourly = |units: Option<u64>| units.filter(|_| is_session).map(pace);
        Used {
            at_once: [0; 2],
            files: hourly(quota.files_per_hour.map(u64::from)),
            kib: hourly(quota.bytes_per_hour.map(|bytes| bytes.as_u64() / KIB)),
        }
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

    /// Nobody is remembered for nothing.
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
    fn admits(&self, demand: Demand, most: Option<usize>, now: Instant) -> Result<(), TooMuch> {
        if most.is_some_and(|most| self.at_once[demand.kind as usize] >= most) {
            return Err(TooMuch { retry_after: SOON });
        }
        let paces = [(&self.files, demand.files), (&self.kib, demand.kib)];
        let welcome = paces.into_iter().filter_map(|(pace, units)| pace.as_ref()?.welcomes_at(units, now));
        welcome.max().map_or(Ok(()), |at| Err(TooMuch { retry_after: at - now }))
    }

    fn begin(&mut self, demand: Demand, now: Instant) {
        self.at_once[demand.kind as usize] += 1;
        for (pace, units) in [(&mut self.files, demand.files), (&mut self.kib, demand.kib)] {
            pace.as_mut().map(|pace| pace.take(units, now));
        }
    }

    fn end(&mut self, kind: Kind) {
        self.at_once[kind as usize] -= 1;
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.at_once == [0, 0] && [&self.files, &self.kib].into_iter().flatten().all(|pace| pace.is_full(now))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.quotas.lock();
        let now = Instant::now();
        for who in &self.who {
            if let Some(used) = state.used.get_mut(who) {
                used.end(self.kind);
                if used.is_idle(now) {
                    state.used.remove(who);
                }
            }
        }
    }
}

/// So many units an hour, all of which may come at once.
fn pace(units: u64) -> Pace {
    let units = u32::try_from(units).unwrap_or(u32::MAX).max(1);
    Pace::new(HOUR / units, units)
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
