//! Envoy's rate-limit service (`envoy.service.ratelimit.v3`) on the `limitador` crate, with limits in Limitador's format and
//! counters in memory. The example `global-rate-limit` and its tests start it where a fleet has Limitador.
//!
//! `ratelimit-service LIMITS.yaml [PORT]` serves on 127.0.0.1, says where on its first line, and then writes a line of JSON
//! for each question that it is asked. Those hold the identities that it is asked about: this is no server for production.

mod limits;
mod protocol;

use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::limits::Limits;
use crate::protocol::Service;

const USAGE: &str = "usage: ratelimit-service LIMITS.yaml [PORT]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ratelimit-service: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[String]) -> Result<(), String> {
    let (file, port) = match arguments {
        [file] => (file, "0"),
        [file, port] => (file, port.as_str()),
        _ => return Err(USAGE.to_owned()),
    };
    let port: u16 = port.parse().map_err(|error| format!("`{port}` is no port: {error}"))?;
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let limits = Limits::parse(&text).map_err(|error| format!("{file}: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.map_err(|error| format!("port {port}: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        println!("listening on {address}");
        let connections = TcpListenerStream::new(listener);
        let served = Server::builder().serve_with_incoming(Service::new(limits), connections);
        served.await.map_err(|error| error.to_string())
    })
}
