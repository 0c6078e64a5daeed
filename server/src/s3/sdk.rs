//! The SDK's configuration: where the store is, and how it is called.

use aws_config::SdkConfig;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    self, BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, StalledStreamProtectionConfig,
};

use super::CHECKSUM_CHUNK;
use super::fault::ComeAgain;
use super::identity::Identities;
use crate::config::{Checksums, Clocks, StorageConfig};
use crate::connector::Connector;

/// Attempts of the SDK's own retries, which serve every call but Put and UploadPart.
const CALL_ATTEMPTS: u32 = 4;
/// Where AWS's tools are told of another store than AWS's.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
/// What other stores take for theirs unless they are told otherwise.
const ANY_REGION: Region = Region::from_static("us-east-1");

/// Reads where the store is and who we are there: as AWS's tools are told, or of the endpoint that is given.
pub async fn load(storage: &StorageConfig, connector: Connector, identities: &Identities) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(connector);
    loader = loader.identity_cache(identities.clone());
    if let Some(endpoint) = &storage.endpoint {
        let keys = Credentials::new(&endpoint.access_key, &endpoint.secret_key, None, None, "configured");
        loader = loader.endpoint_url(&endpoint.url).credentials_provider(keys);
        loader = loader.region(Region::new(endpoint.region.clone()));
    } else if ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some()) {
        // Not from the machine's own metadata: it is not the store's, and may take seconds to say nothing.
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
        loader = loader.region(region.or_else(ProfileFileRegionProvider::new()).or_else(ANY_REGION));
    }
    loader.load().await
}

/// Whether checksums travel with the bytes.
pub fn has_checksums(storage: &StorageConfig, shared: &SdkConfig) -> bool {
    match storage.s3_checksums {
        Checksums::On => true,
        Checksums::Off => false,
        Checksums::Auto => shared.endpoint_url().is_none_or(|url| url.starts_with("https:")),
    }
}

/// How the store is called, by the SDK's own retries and clock.
pub fn configure(
    storage: &StorageConfig,
    shared: &SdkConfig,
    clocks: &Clocks,
    identities: Identities,
) -> Config {
    let calculation = if has_checksums(storage, shared) {
        RequestChecksumCalculation::WhenSupported
    } else {
        RequestChecksumCalculation::WhenRequired
    };
    let retries = RetryConfig::standard().with_max_attempts(CALL_ATTEMPTS);
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(clocks.store_stall);
    config::Builder::from(shared)
        .force_path_style(storage.s3_path_style.unwrap_or(shared.endpoint_url().is_some()))
        .request_checksum_calculation(calculation)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .aws_chunked_encoding_chunk_size(Some(CHECKSUM_CHUNK as usize))
        // It takes a pausing client for a stalled store (FACTS.md 1.6); `attempts` watches instead.
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().upload_enabled(false).build())
        .retry_config(retries.with_initial_backoff(clocks.store_backoff))
        .retry_classifier(ComeAgain)
        .interceptor(identities)
        .timeout_config(timeouts.build())
        .build()
}

/// The same without retries and clock.
pub fn once(config: &Config) -> Config {
    config
        .to_builder()
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().disable_operation_attempt_timeout().build())
        .build()
}
