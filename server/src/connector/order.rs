//! A request of the SDK as it goes on the wire.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri, header};

use super::wire::{Framing, WireCounter};

/// A request as it goes on the wire, and where to.
pub(super) struct Order {
    /// Scheme and authority.
    pub(super) target: Uri,
    pub(super) request: Request<SdkBody>,
    pub(super) framing: Framing,
    pub(super) counter: Option<WireCounter>,
}

impl Order {
    pub(super) fn new(request: HttpRequest) -> Result<Self, ConnectorError> {
        let mut request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let uri = request.uri();
        let (Some(scheme), Some(authority), Some(host)) = (uri.scheme(), uri.authority(), host_header(uri))
        else {
            return Err(ConnectorError::user("the address names no host".into()));
        };
        let target = Uri::builder()
            .scheme(scheme.clone())
            .authority(authority.clone())
            .path_and_query("/")
            .build()
            .map_err(|error| ConnectorError::user(error.into()))?;
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));

        *request.uri_mut() = Uri::from(path);
        request.headers_mut().entry(header::HOST).or_insert(host);
        let framing = Framing::of(request.headers());
        let counter = request.extensions_mut().remove::<WireCounter>();
        Ok(Self { target, request, framing, counter })
    }
}

/// Host and port as they were signed: without a port that the scheme implies.
fn host_header(uri: &Uri) -> Option<HeaderValue> {
    let host = uri.host()?;
    let implied = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    match uri.port_u16() {
        Some(port) if port != implied => HeaderValue::try_from(format!("{host}:{port}")).ok(),
        _ => HeaderValue::try_from(host).ok(),
    }
}

/// The same request again, if its body can be had twice.
pub(super) fn spare(request: &Request<SdkBody>) -> Option<Request<SdkBody>> {
    let mut spare = Request::new(request.body().try_clone()?);
    request.method().clone_into(spare.method_mut());
    request.uri().clone_into(spare.uri_mut());
    request.headers().clone_into(spare.headers_mut());
    Some(spare)
}
