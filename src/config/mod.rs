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

use crate::token::signature::{SignatureBackend, short_digest};
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
    let value = decode::decode(bytes)?;
    let digest = digest(&value);
    Ok(Loaded { digest, ..load_value(value, plugin, environment, backend)? })
}

/// The same for configurations that say the same, however they are written: members are in order of
/// their names here, and in a serialised `Struct` in any.
fn digest(value: &Value) -> String {
    short_digest(value.to_string().as_bytes())
}

/// Loads a configuration that is already decoded, and makes no digest of it.
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
