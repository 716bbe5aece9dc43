//! The command line.

/// What is to be measured: all of it, for `BENCHMARKS.md`, or some rows to look at.
#[derive(Default)]
pub struct Options {
    /// `--only rs256,routes-100`: the rows of these names, or whose names begin so. They are printed and nothing is written.
    pub only: Vec<String>,
    /// `--without-native`: leaves Envoy's own filters out.
    pub without_native: bool,
    /// `--load`: starts, memory and throughput instead of instructions; printed only.
    pub load: bool,
    /// `--upstream`: requests that are let through go to an upstream, where Envoy otherwise answers them by itself.
    pub upstream: bool,
}

impl Options {
    /// Reads them; `--without-native` and `--upstream` go with `--only`, as the document says otherwise.
    pub fn read() -> Self {
        let mut options = Options::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--only" => {
                    let names = words.next().expect("--only takes names of rows");
                    options.only.extend(names.split(',').map(str::to_owned));
                }
                "--without-native" => options.without_native = true,
                "--load" => options.load = true,
                "--upstream" => options.upstream = true,
                // Cargo says so to every benchmark.
                "--bench" => {}
                other => panic!(
                    "unknown {other}; there are --only, --load, --without-native, --upstream"
                ),
            }
        }
        let partial = options.without_native || options.upstream;
        assert!(!partial || !options.only.is_empty(), "this goes with --only");
        options
    }

    /// Whether the row of this name is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        let begins = |wanted: &String| {
            let rest = name.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        self.only.is_empty() || self.only.iter().any(begins)
    }
}
