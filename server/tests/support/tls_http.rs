//! Connections with TLS where the address is `https`: for stores that are not on loopback.

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::plain_http::{http_over, plain_http};

/// For the SDK's `http_client`; certificates are loaded only for an endpoint that needs them.
pub fn http_to(endpoint: &str) -> SharedHttpClient {
    if endpoint.starts_with("http://") { plain_http() } else { http_over(connector()) }
}

/// What an address answers to a GET without any header of ours.
pub async fn fetch(url: &str) -> Response<Bytes> {
    let request = Request::get(url).body(Empty::<Bytes>::new()).expect("an address");
    let answer = if url.starts_with("http://") {
        Client::builder(TokioExecutor::new()).build_http().request(request).await
    } else {
        Client::builder(TokioExecutor::new()).build(connector()).request(request).await
    };
    let (head, body) = answer.unwrap_or_else(|error| panic!("GET {url}: {error:?}")).into_parts();
    let body = body.collect().await.expect("the answer reads to its end").to_bytes();
    Response::from_parts(head, body)
}

fn connector() -> HttpsConnector<HttpConnector> {
    let builder = HttpsConnectorBuilder::new().with_native_roots();
    builder.expect("this machine has root certificates").https_only().enable_http1().build()
}
