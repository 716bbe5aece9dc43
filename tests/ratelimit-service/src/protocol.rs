//! The messages of `envoy/service/ratelimit/v3/rls.proto` that matter here, and the one method over gRPC.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::limits::Limits;

const METHOD: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
const OK: i32 = 1;
const OVER_LIMIT: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
pub struct RateLimitRequest {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(message, repeated, tag = "2")]
    pub descriptors: Vec<RateLimitDescriptor>,
    #[prost(uint32, tag = "3")]
    pub hits_addend: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RateLimitDescriptor {
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RateLimitResponse {
    #[prost(int32, tag = "1")]
    pub overall_code: i32,
    #[prost(message, repeated, tag = "3")]
    pub response_headers_to_add: Vec<HeaderValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct HeaderValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// The gRPC service.
#[derive(Clone)]
pub struct Service(Arc<Limits>);

impl Service {
    /// Serves these limits.
    pub fn new(limits: Limits) -> Self {
        Service(Arc::new(limits))
    }
}

/// The method `ShouldRateLimit`.
struct ShouldRateLimit(Arc<Limits>);

impl UnaryService<RateLimitRequest> for ShouldRateLimit {
    type Response = RateLimitResponse;
    type Future = Ready<Result<Response<RateLimitResponse>, Status>>;

    fn call(&mut self, request: Request<RateLimitRequest>) -> Self::Future {
        let request = request.into_inner();
        let decided = self.0.decide(&request);
        println!("{}", told(&request, decided.as_ref().map(|verdict| verdict.limited)));
        ready(match decided {
            Ok(verdict) => Ok(Response::new(RateLimitResponse {
                overall_code: if verdict.limited { OVER_LIMIT } else { OK },
                response_headers_to_add: verdict.headers,
            })),
            // As Limitador does: the code `UNKNOWN` would let the request pass whatever `failure_mode_deny` says.
            Err(_) => Err(Status::unavailable("the limits could not be evaluated")),
        })
    }
}

/// A line of JSON: what was asked, and what the answer is.
fn told(request: &RateLimitRequest, limited: Result<bool, &String>) -> serde_json::Value {
    let pairs = |descriptor: &RateLimitDescriptor| {
        let entries = descriptor.entries.iter();
        entries.map(|entry| [entry.key.clone(), entry.value.clone()]).collect::<Vec<_>>()
    };
    let descriptors: Vec<_> = request.descriptors.iter().map(pairs).collect();
    let answer = match limited {
        Ok(false) => "ok",
        Ok(true) => "over_limit",
        Err(error) => error,
    };
    serde_json::json!({"domain": request.domain, "descriptors": descriptors, "answer": answer})
}

impl tower_service::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = ShouldRateLimit(self.0.clone());
        Box::pin(async move {
            if request.uri().path() != METHOD {
                return Ok(Status::unimplemented("only ShouldRateLimit is served").into_http());
            }
            Ok(Grpc::new(ProstCodec::default()).unary(method, request).await)
        })
    }
}
