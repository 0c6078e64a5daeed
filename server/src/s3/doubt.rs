//! Notices attempts at a call that the store may have done though it did not say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// Rides along with one call, through the SDK's own retries. A clone is the same doubt.
#[derive(Clone, Debug, Default)]
pub struct Doubt(Arc<AtomicBool>);

impl Doubt {
    /// Whether any attempt failed without the store's word that it did nothing.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for Doubt {
    fn name(&self) -> &'static str {
        "doubt"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let has_failed = context.output_or_error().is_none_or(|result| result.is_err());
        let was_refused = context
            .response()
            .map(|answer| answer.status().as_u16())
            .is_some_and(|status| matches!(status, 300..=499 | 501 | 503));
        if has_failed && !was_refused {
            self.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
