//! The keys that calls are signed with: kept until they expire, or until the store says that they have.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_s3::config::interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_sdk_s3::config::{ConfigBag, IdentityCache, Intercept, RuntimeComponents, SharedIdentityCache};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::identity::{
    IdentityFuture, ResolveCachedIdentity, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

/// The SDK's own cache believes a token's date, and keeps what the store has refused (aws-smithy-runtime 1.16). Cheap
/// to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Identities(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    cache: SharedIdentityCache,
    generation: Generation,
}

/// How often keys were forgotten before these. An attempt remembers its own: of many that are refused at once, only
/// the first has new keys fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Generation(u64);

impl Storable for Generation {
    type Storer = StoreReplace<Self>;
}

impl Kept {
    fn new(generation: Generation) -> Self {
        Self { cache: IdentityCache::lazy().build(), generation }
    }
}

impl Default for Identities {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Kept::new(Generation(0)))))
    }
}

impl Identities {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next call fetches its keys anew, unless one has since this generation.
    fn forget(&self, generation: Generation) {
        let mut kept = self.lock();
        if kept.generation == generation {
            *kept = Kept::new(Generation(generation.0 + 1));
        }
    }
}

impl ResolveCachedIdentity for Identities {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        settings: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let cache = self.lock().cache.clone();
        IdentityFuture::new(
            async move { cache.resolve_cached_identity(resolver, components, settings).await },
        )
    }
}

impl Intercept for Identities {
    fn name(&self) -> &'static str {
        "identities"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        settings.interceptor_state().store_put(self.lock().generation);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(generation) = settings.load::<Generation>().copied()
            && context.response().is_some_and(may_have_expired)
        {
            self.forget(generation);
        }
        Ok(())
    }
}

/// Whether the store says that the token has expired, or refuses without a word, as it does a HEAD.
fn may_have_expired(answer: &HttpResponse) -> bool {
    let body = answer.body().bytes().unwrap_or_default();
    has_expired(answer) || (matches!(answer.status().as_u16(), 400 | 403) && body.is_empty())
}

/// Whether the store says that the token has expired.
#[must_use]
pub fn has_expired(answer: &HttpResponse) -> bool {
    let body = answer.body().bytes().unwrap_or_default();
    answer.status().is_client_error() && body.windows(EXPIRED.len()).any(|word| word == EXPIRED)
}

/// S3's code in its XML.
const EXPIRED: &[u8] = b"<Code>ExpiredToken</Code>";
