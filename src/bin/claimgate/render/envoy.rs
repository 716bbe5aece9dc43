//! `claimgate render envoy`: a bootstrap that is complete, with all that `check` asks of what is around the filter.

use super::bootstrap::{UPSTREAM, bootstrap};
use super::destination::{self, Destination};
use super::proof::{self, Form};
use super::source::Source;
use super::{Common, Manifest, deliver, members, node, variables_note};
use crate::output::Format;
use crate::yaml::Node;
use crate::{Failure, put};
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The service behind Envoy: `HOST:PORT`, or `https://HOST:PORT` to speak TLS to it.
    #[arg(long, value_name = "ADDRESS")]
    pub upstream: String,
    /// Where Envoy listens.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10000")]
    pub listen: SocketAddr,
    /// Where Envoy's administration interface listens; anyone who reaches it can stop Envoy.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    pub admin: SocketAddr,
    /// The certificate to serve TLS with, as Envoy finds it.
    #[arg(long, value_name = "FILE", requires = "private_key")]
    pub certificate: Option<String>,
    /// Its private key, as Envoy finds it.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub private_key: Option<String>,
    /// How many proxies before Envoy add to `X-Forwarded-For` and can be trusted.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub trusted_hops: u32,
    /// The filter, as Envoy finds it.
    #[arg(long, value_name = "FILE", default_value = "/etc/envoy/claimgate.wasm", value_parser = NonEmptyStringValueParser::new())]
    pub wasm: String,
    /// The authorities that certify key servers, as Envoy finds them.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt", value_parser = NonEmptyStringValueParser::new())]
    pub ca: String,
    /// Puts the filter's configuration into a file of its own, which Envoy finds here and reads again whenever it is
    /// replaced. `--out` is then a folder, which gets `envoy.yaml` and this file's last part.
    #[arg(long, value_name = "FILE", requires = "out")]
    pub pushed: Option<String>,
    /// Writes here instead of to standard output.
    #[arg(long)]
    out: Option<String>,
}

pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    let source = arguments.common.source(format)?;
    let address = Some(&arguments.upstream).filter(|address| {
        // A path would be dropped without a word.
        !address
            .split_once("://")
            .map_or(address.as_str(), |(_, rest)| rest)
            .contains(['/', '?', '#'])
    });
    let upstream = address.and_then(|address| Destination::parse(address)).ok_or_else(|| {
        format!("`--upstream {}`: expected `HOST:PORT` or `https://HOST:PORT`", arguments.upstream)
    })?;
    let clusters = destination::clusters(&source)?;
    if clusters.contains_key(UPSTREAM) {
        return Err(format!(
            "`{}`: keys come from a cluster `{UPSTREAM}`, which is the service's name here: name it otherwise",
            source.file
        ));
    }
    let form = if becomes_text(&source.value) { Form::Text } else { Form::Struct };
    let wasm = wasm(arguments, &source, form);
    let mut notes = Vec::new();
    notes.extend(variables_note(&source, "Envoy"));
    let Some(pushed) = &arguments.pushed else {
        let filter = node!({ "name": "claimgate", "typed_config": wasm });
        let bootstrap = bootstrap(arguments, &source, filter, &upstream, &clusters);
        let text = Manifest { notes, documents: vec![bootstrap] }.text();
        proof::hold(&text, &source.value, form)?;
        return deliver(&text, arguments.out.as_deref(), source.is_private(), format);
    };
    let (filter, file) = discovery(pushed)?;
    let bootstrap = bootstrap(arguments, &source, filter, &upstream, &clusters);
    let own = Manifest {
        notes: vec!["Envoy reads this file again when it is replaced: write the new version beside it, then rename it over.".into()],
        documents: vec![node!({ "resources": node!([node!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": "claimgate",
            "typed_config": wasm,
        })]) })],
    }
    .text();
    proof::hold(&own, &source.value, form)?;
    notes.push(format!(
        "The filter with its configuration is in {}, which Envoy watches.",
        super::quoted(pushed)
    ));
    let text = Manifest { notes, documents: vec![bootstrap] }.text();
    let folder = Path::new(arguments.out.as_deref().unwrap_or("."));
    std::fs::create_dir_all(folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
    let files = [(folder.join("envoy.yaml"), text), (folder.join(file), own)];
    // The filter first: whoever starts Envoy by the bootstrap finds it.
    for (path, text) in files.iter().rev() {
        put::write(path, text, source.is_private())?;
    }
    if format == Format::Json {
        let files: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
        format.print(&json!({ "files": files }), String::new);
    }
    Ok(())
}

/// Whether Envoy would make text of a number: of a fraction, and of an integer beyond 32 bits, in its own YAML. Such a
/// configuration goes as JSON.
fn becomes_text(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.as_i64().is_none_or(|number| i32::try_from(number).is_err())
        }
        Value::Array(items) => items.iter().any(becomes_text),
        Value::Object(members) => members.values().any(becomes_text),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// The `Wasm` message of the filter.
fn wasm(arguments: &Arguments, source: &Source, form: Form) -> Node {
    let configuration = match form {
        Form::Struct => node!({
            "@type": "type.googleapis.com/google.protobuf.Struct",
            "value": source.ordered(&source.value),
        }),
        Form::Kept | Form::Text => node!({
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": Value::String(format!("{:#}\n", source.value)),
        }),
    };
    let name = source.name.as_str();
    // Its own: plugins that share a vm_id share their data.
    let vm_id = match name {
        "claimgate" => name.to_owned(),
        name => format!("claimgate-{name}"),
    };
    let names: Vec<&String> = source.variables.iter().collect();
    let variables = (!names.is_empty()).then(|| node!({ "host_env_keys": Node::texts(&names) }));
    node!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": node!({
            "name": name,
            "root_id": "claimgate",
            "failure_policy": "FAIL_RELOAD",
            "vm_config": members([
                ("vm_id", Some(vm_id.as_str().into())),
                ("runtime", Some("envoy.wasm.runtime.v8".into())),
                ("code", Some(node!({ "local": node!({ "filename": arguments.wasm.as_str() }) }))),
                ("environment_variables", variables),
            ]),
            "configuration": configuration,
        }),
    })
}

/// The filter as Envoy loads it from a file, and the file's own name.
fn discovery(pushed: &str) -> Result<(Node, &Path), Failure> {
    let path = Path::new(pushed);
    let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else {
        return Err(format!("`--pushed {pushed}`: expected a file"));
    };
    let folder = folder.to_str().filter(|folder| !folder.is_empty()).unwrap_or(".");
    if name == "envoy.yaml" {
        return Err(format!(
            "`--pushed {pushed}`: the bootstrap is `envoy.yaml`: name it otherwise"
        ));
    }
    let filter = node!({
        "name": "claimgate",
        "config_discovery": node!({
            "type_urls": node!(["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"]),
            "config_source": node!({
                "resource_api_version": "V3",
                "path_config_source": node!({
                    "path": pushed,
                    "watched_directory": node!({ "path": folder }),
                }),
            }),
        }),
    });
    Ok((filter, Path::new(name)))
}
