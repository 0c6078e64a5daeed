//! The SDK's requests over a plain hyper client: not the server's own connector.

use std::fmt::Debug;

use aws_smithy_runtime_api::client::http::{
    HttpConnector as SmithyConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;

#[derive(Clone, Debug)]
struct Plain<C>(Client<C, SdkBody>);

/// For the SDK's `http_client`.
pub fn plain_http() -> SharedHttpClient {
    http_over(HttpConnector::new())
}

/// The same over connections that are made otherwise.
pub fn http_over<C>(connector: C) -> SharedHttpClient
where
    C: Connect + Clone + Debug + Send + Sync + 'static,
{
    http_client_fn(move |_, _| {
        SharedHttpConnector::new(Plain(Client::builder(TokioExecutor::new()).build(connector.clone())))
    })
}

impl<C: Connect + Clone + Debug + Send + Sync + 'static> SmithyConnector for Plain<C> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let answer = client.request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
