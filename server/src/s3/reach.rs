//! Whether the bucket can be had, and what stands in the way: in words, with what to set.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::SdkError;

use super::Bucket;
use super::fault::{Fault, causes};
use super::settle::ask_head;
use crate::error::Failure;

/// For one question: whoever asks for readiness waits no longer (Kubernetes gives its probes a second, systemd none).
const PATIENCE: Duration = Duration::from_secs(5);

/// What stands between us and the bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Barrier {
    #[error("there is no AWS region: set AWS_REGION, such as eu-north-1")]
    NoRegion,
    #[error(
        "there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role"
    )]
    NoKeys,
    #[error("the AWS credentials cannot be loaded ({0}): mend AWS_PROFILE and its files")]
    BadKeys(String),
    #[error("there is no such bucket: create it, or name another with --bucket")]
    NoBucket,
    #[error("the bucket is elsewhere: set AWS_REGION{0}")]
    Elsewhere(String),
    #[error(
        "the store refuses us: see whether AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are its own, AWS_REGION is its name for itself, they may s3:ListBucket, and this machine's clock is right"
    )]
    Refused,
    #[error("the AWS credentials cannot be loaded now ({0})")]
    KeysOutage(String),
    #[error("the store cannot be used now: {0}")]
    Outage(Failure),
}

impl Barrier {
    /// Whether waiting does not help: somebody has to set something.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        !matches!(self, Self::Outage(_) | Self::KeysOutage(_))
    }

    /// What an upload would be told.
    #[must_use]
    pub const fn failure(&self) -> Failure {
        match self {
            Self::Outage(failure) => *failure,
            _ => Failure::StorageConfig,
        }
    }

    fn of<E: Error + 'static>(error: &SdkError<E, HttpResponse>, failure: Failure) -> Self {
        let answer = error.raw_response();
        let region = answer.and_then(|answer| answer.headers().get("x-amz-bucket-region"));
        match answer.map_or(0, |answer| answer.status().as_u16()) {
            0 => Self::without_answer(error, failure),
            301 | 307 | 308 => {
                Self::Elsewhere(region.map_or_else(String::new, |region| format!("={region}")))
            }
            404 => Self::NoBucket,
            400..=403 => Self::Refused,
            _ => Self::Outage(failure),
        }
    }

    fn without_answer(error: &(dyn Error + 'static), failure: Failure) -> Self {
        let mut chain = std::iter::successors(Some(error), |cause| (**cause).source());
        let Some(error) = chain.find_map(|cause| cause.downcast_ref::<CredentialsError>()) else {
            return Self::Outage(failure);
        };
        match error {
            CredentialsError::CredentialsNotLoaded(_) => Self::NoKeys,
            CredentialsError::InvalidConfiguration(_) => Self::BadKeys(causes(error)),
            _ => Self::KeysOutage(causes(error)),
        }
    }
}

impl Bucket {
    /// Asks the store once whether the bucket can be had.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn reach(&self) -> Result<(), Barrier> {
        let once = || config::Builder::new().retry_config(RetryConfig::disabled());
        let head = self.client.head_bucket().bucket(&self.name);
        let asked = ask_head(|| head.clone().customize().config_override(once()).send());
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answered) => {
                answered.map(drop).map_err(|error| Barrier::of(&error, Fault::of(&error).failure))
            }
            Err(_) => Err(Barrier::Outage(Failure::StorageTimeout)),
        }
    }
}
