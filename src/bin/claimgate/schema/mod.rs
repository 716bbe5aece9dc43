//! `claimgate schema`: the JSON Schema of the configuration, for editors and pipelines, and the same as a reference to read.

mod reference;
mod sections;

use crate::output::Format;
use claimgate::config::schema;

#[derive(clap::Args)]
pub struct Arguments {
    /// Prints it as a reference to read, in Markdown.
    #[arg(long)]
    markdown: bool,
}

pub fn run(arguments: &Arguments, format: Format) {
    let document = schema::document();
    if arguments.markdown {
        let text = reference::markdown(&document);
        return format.print(&serde_json::json!({ "markdown": text }), || text.clone());
    }
    format.print(&document, || serde_json::to_string_pretty(&document).unwrap_or_default());
}
