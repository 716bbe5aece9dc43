//! `claimgate schema`: the JSON Schema of the configuration, for editors and pipelines.

use crate::output::Format;
use claimgate::config::schema;

pub fn run(format: Format) {
    let document = schema::document();
    format.print(&document, || serde_json::to_string_pretty(&document).unwrap_or_default());
}
