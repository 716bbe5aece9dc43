//! From bytes to an [`Engine`](crate::engine::Engine): decoded, mirrored, checked. What loads depends on the bytes and the
//! named environment variables alone.

pub mod build;
pub mod decode;
pub mod error;
pub mod raw;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;

pub use build::{Environment, Loaded};
pub use error::{ConfigError, Place, Warning};

use crate::token::signature::SignatureBackend;
use serde_json::Value;

/// Loads a configuration as Envoy hands it over: JSON, or a serialised `google.protobuf.Struct`.
///
/// `plugin` is the plugin's name in Envoy, for a configuration that names none.
///
/// # Errors
/// The first thing that is wrong, with its place and the remedy.
pub fn load(
    bytes: &[u8],
    plugin: &str,
    environment: Environment<'_>,
    backend: &dyn SignatureBackend,
) -> Result<Loaded, ConfigError> {
    load_value(decode::decode(bytes)?, plugin, environment, backend)
}

/// Loads a configuration that is already decoded.
///
/// # Errors
/// As [`load`].
pub fn load_value(
    mut value: Value,
    plugin: &str,
    environment: Environment<'_>,
    backend: &dyn SignatureBackend,
) -> Result<Loaded, ConfigError> {
    if let Value::Object(members) = &mut value {
        // A place for YAML anchors.
        members.retain(|name, _| !name.starts_with("x-"));
    }
    build::build(decode::mirror(&value)?, plugin, environment, backend)
}
