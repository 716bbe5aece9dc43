//! From a policy to routes: each request's owner is found, what is asked of it is told for all
//! requests of that owner, and owners that ask the same become one route.

use super::ask::{Asked, asked};
use super::condition::Condition;
use super::host::{self, Host};
use super::issuers::slug;
use super::pattern::{self, Pattern};
use super::policy::{Cell, Formula, Policy, is_method};
use super::text::Text;
use crate::yaml::Node;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The routes of a policy.
#[derive(Debug)]
pub struct Routes {
    /// They, as they are written.
    pub routes: Vec<Node>,
    /// The named conditions that they refer to.
    pub conditions: Vec<(String, Node)>,
    /// Whether every pattern that was wanted could be made.
    pub complete: bool,
}

/// What the requests of one host and pattern are asked, by method.
pub type ByMethod = Vec<(Option<Vec<String>>, Asked)>;

/// Methods, what is asked, and where.
type Group<'p> = (Option<Vec<String>>, Asked, BTreeMap<&'p Host, Vec<&'p Pattern>>);

/// What a policy tells apart.
struct Parts {
    patterns: BTreeSet<Pattern>,
    hosts: BTreeSet<Host>,
    methods: BTreeSet<String>,
}

/// Makes the routes of a policy, whose issuers have these names.
pub fn routes(policy: &Policy, issuers: &[String]) -> Routes {
    let (parts, complete) = parts(policy);
    let mut cells = Cells::new();
    for host in &parts.hosts {
        for pattern in &parts.patterns {
            cells.insert((host, pattern), by_method(policy, &parts, host, pattern, false));
        }
    }
    let nowhere: BTreeSet<(&Host, &Pattern)> =
        cells.iter().filter(|(_, by_method)| by_method.is_empty()).map(|(cell, _)| *cell).collect();
    for host in &parts.hosts {
        let slash = |pattern: &Pattern| by_method(policy, &parts, host, pattern, true);
        super::merge::merge(host, &parts.patterns, &mut cells, &slash);
    }
    let (denied, closed) = close(&parts, &nowhere, &mut cells);
    let mut made = Maker { issuers, named: parts.hosts.len() > 1, ..Maker::default() };
    let mut groups: Vec<Group<'_>> = Vec::new();
    for ((host, pattern), by_method) in &cells {
        for (methods, asked) in by_method {
            let known = groups.iter().position(|(m, a, _)| m == methods && a == asked);
            let index = known.unwrap_or_else(|| {
                groups.push((methods.clone(), asked.clone(), BTreeMap::new()));
                groups.len() - 1
            });
            if let Some((_, _, places)) = groups.get_mut(index) {
                places.entry(*host).or_default().push(*pattern);
            }
        }
    }
    for (methods, asked, places) in &groups {
        for (hosts, patterns) in by_patterns(places) {
            made.route(&hosts, &patterns, methods.as_deref(), asked);
        }
    }
    let mut places: BTreeMap<&Host, Vec<&Pattern>> = BTreeMap::new();
    for (host, pattern) in &closed {
        places.entry(host).or_default().push(pattern);
    }
    let never = Asked { token: "none", issuers: Vec::new(), require: Condition::Never };
    for (hosts, patterns) in by_patterns(&places) {
        made.route(&hosts, &patterns, None, &never);
    }
    let mut places: BTreeMap<&Host, Vec<&Pattern>> = BTreeMap::new();
    for (host, pattern) in &denied {
        places.entry(host).or_default().push(pattern);
    }
    for (hosts, patterns) in by_patterns(&places) {
        made.deny(&hosts, &patterns);
    }
    let conditions = made.conditions();
    Routes { routes: made.routes, conditions, complete }
}

fn parts(policy: &Policy) -> (Parts, bool) {
    let mut patterns: BTreeSet<Pattern> = [Pattern::every()].into();
    let mut hosts: BTreeSet<Host> = [Host::Every].into();
    let mut methods = BTreeSet::new();
    let mut take = |formula: &Formula| match formula {
        Formula::Path(shape) => patterns.extend(shape.patterns()),
        Formula::Host(text) => hosts.extend(host::families(text)),
        Formula::Method(Text::Exact(method)) if is_method(method) => {
            methods.insert(method.clone());
        }
        _ => {}
    };
    policy.allow.visit(&mut take);
    policy.asks.iter().for_each(|(formula, _)| formula.visit(&mut take));
    let (patterns, complete) = pattern::close(patterns);
    (Parts { patterns, hosts, methods }, complete)
}

fn by_method(
    policy: &Policy,
    parts: &Parts,
    host: &Host,
    pattern: &Pattern,
    slash: bool,
) -> ByMethod {
    let ask = |method: Option<&str>| {
        let cell = Cell {
            host,
            hosts: &parts.hosts,
            pattern,
            patterns: &parts.patterns,
            method,
            slash,
            sees_token: true,
        };
        asked(policy, cell)
    };
    let other = ask(None);
    let mut found: ByMethod = Vec::new();
    let mut closed = Vec::new();
    for method in &parts.methods {
        match ask(Some(method)) {
            asked if asked == other => {}
            None => closed.push(method.clone()),
            Some(asked) => match found.iter_mut().find(|(_, known)| *known == asked) {
                Some((Some(methods), _)) => methods.push(method.clone()),
                _ => found.push((Some(vec![method.clone()]), asked)),
            },
        }
    }
    if let Some(asked) = other {
        if !closed.is_empty() {
            let never = Asked { token: "none", issuers: Vec::new(), require: Condition::Never };
            found.push((Some(closed), never));
        }
        found.push((None, asked));
    }
    found
}

type Places<'p> = Vec<(&'p Host, &'p Pattern)>;

/// What the requests of each host and pattern are asked.
pub type Cells<'p> = BTreeMap<(&'p Host, &'p Pattern), ByMethod>;

/// Whether nothing opens a cell that is there.
fn is_closed(cells: &Cells<'_>, host: &Host, pattern: &Pattern) -> bool {
    cells.get(&(host, pattern)).is_some_and(Vec::is_empty)
}

fn is_open(cells: &Cells<'_>, host: &Host, pattern: &Pattern) -> bool {
    cells.get(&(host, pattern)).is_some_and(|by_method| !by_method.is_empty())
}

/// Takes the cells that nothing opens out of the others: those that a deny route closes, and those
/// that must stay, since something broader would open them. The rest is closed by being nowhere.
fn close<'p>(
    parts: &'p Parts,
    closed: &BTreeSet<(&Host, &Pattern)>,
    cells: &mut Cells<'p>,
) -> (Places<'p>, Places<'p>) {
    // A host that no route names would go to a broader family.
    let is_gone = |host: &Host| {
        parts.hosts.len() > 1 && !parts.patterns.iter().any(|other| is_open(cells, host, other))
    };
    let every = Pattern::every();
    let needed: Places<'_> = cells
        .keys()
        .filter(|(host, pattern)| {
            let open = |other: &&Pattern| is_open(cells, host, other);
            let mut open = parts.patterns.iter().filter(open);
            is_closed(cells, host, pattern)
                && (open
                    .any(|other| other.intersect(pattern).is_some() && !pattern.contains(other))
                    || (**pattern == every && is_gone(host)))
        })
        .copied()
        .collect();
    // A deny route closes every host of its family, whatever other family names it too.
    let may_deny = |host: &Host| matches!(host, Host::Exact(_)) || parts.hosts.len() == 1;
    let mut denied: Places<'_> = needed
        .iter()
        .filter(|(host, pattern)| {
            let mut inside = parts.patterns.iter().filter(|other| pattern.contains(other));
            may_deny(host) && inside.all(|other| closed.contains(&(*host, other)))
        })
        .copied()
        .collect();
    let all = denied.clone();
    let covered = |host: &Host, pattern: &Pattern| {
        all.iter().any(|(own, other)| *own == host && other.contains(pattern))
    };
    denied.retain(|(host, pattern)| {
        !all.iter().any(|(own, other)| own == host && other != pattern && other.contains(pattern))
    });
    let closed = needed.into_iter().filter(|(host, pattern)| !covered(host, pattern)).collect();
    cells.retain(|_, by_method| !by_method.is_empty());
    (denied, closed)
}

/// Hosts that have the same patterns, together.
fn by_patterns<'p>(
    places: &BTreeMap<&'p Host, Vec<&'p Pattern>>,
) -> Vec<(Vec<&'p Host>, Vec<&'p Pattern>)> {
    let mut groups: Vec<(Vec<&Host>, Vec<&Pattern>)> = Vec::new();
    for (host, patterns) in places {
        match groups.iter_mut().find(|(_, known)| known == patterns) {
            Some((hosts, _)) => hosts.push(host),
            None => groups.push((vec![host], patterns.clone())),
        }
    }
    groups
}

/// Writes routes.
#[derive(Default)]
struct Maker<'m> {
    issuers: &'m [String],
    /// Whether any route names a host.
    named: bool,
    routes: Vec<Node>,
    names: BTreeSet<String>,
    references: BTreeSet<String>,
}

impl Maker<'_> {
    fn route(
        &mut self,
        hosts: &[&Host],
        patterns: &[&Pattern],
        methods: Option<&[String]>,
        asked: &Asked,
    ) {
        let word = if asked.require == Condition::Never { "closed" } else { "" };
        let mut members = self.place(word, hosts, patterns, methods, &asked.require.segments());
        let usual = asked.token == "required";
        if !usual {
            members.push(("token".to_owned(), Node::from(asked.token)));
        }
        // Where all are meant, the defaults say so.
        if asked.token != "none" && asked.issuers.len() != self.issuers.len() {
            members.push(("issuers".to_owned(), Node::texts(&asked.issuers)));
        }
        if asked.require != Condition::Always {
            if asked.require == Condition::Never {
                self.references.insert("never".to_owned());
            }
            self.references.extend(asked.require.references());
            members.push(("require".to_owned(), asked.require.node()));
        }
        self.routes.push(Node::Map(members));
    }

    fn deny(&mut self, hosts: &[&Host], patterns: &[&Pattern]) {
        let mut members = self.place("no", hosts, patterns, None, &[]);
        members.push(("deny".to_owned(), Node::from(json!(true))));
        self.routes.push(Node::Map(members));
    }

    fn place(
        &mut self,
        word: &str,
        hosts: &[&Host],
        patterns: &[&Pattern],
        methods: Option<&[String]>,
        captured: &[usize],
    ) -> Vec<(String, Node)> {
        let texts: Vec<String> = patterns.iter().map(|pattern| pattern.text(captured)).collect();
        let first = texts.first().map(|text| slug(text)).unwrap_or_default();
        let host = hosts.iter().find(|host| ***host != Host::Every);
        let host = host.map(|host| slug(&host.to_string())).unwrap_or_default();
        let method = methods.and_then(|methods| methods.first()).map(|method| slug(method));
        let first = match (patterns.first(), first.is_empty()) {
            (Some(pattern), true) if pattern.rest => "all".to_owned(),
            (_, true) => "root".to_owned(),
            (_, false) => first,
        };
        let mut name = String::new();
        let words = [word, method.as_deref().unwrap_or_default(), &host, &first];
        for word in words.iter().filter(|word| !word.is_empty()) {
            if !name.is_empty() {
                name.push('-');
            }
            name.push_str(word);
        }
        if self.names.contains(&name) {
            let mut fresh = (2..).map(|number| format!("{name}-{number}"));
            name = fresh.find(|name| !self.names.contains(name)).unwrap_or(name);
        }
        self.names.insert(name.clone());
        let mut members = vec![("name".to_owned(), Node::from(name.as_str()))];
        if self.named {
            let hosts: Vec<String> = hosts.iter().map(|host| host.to_string()).collect();
            members.push(("hosts".to_owned(), Node::texts(&hosts)));
        }
        members.push(("paths".to_owned(), Node::texts(&texts)));
        if let Some(methods) = methods {
            members.push(("methods".to_owned(), Node::texts(methods)));
        }
        members
    }

    /// The named conditions that routes refer to.
    fn conditions(&self) -> Vec<(String, Node)> {
        let condition = |name: &String| {
            let node = match name.strip_prefix("single-") {
                // A placeholder with several values has none.
                Some(header) => Node::map([
                    ("header", Node::from(header)),
                    ("equals", Node::from(format!("${{header.{header}}}").as_str())),
                ]),
                None => Node::map([
                    ("method", Node::from(json!(true))),
                    ("present", Node::from(json!(false))),
                ]),
            };
            (name.clone(), node)
        };
        self.references.iter().map(condition).collect()
    }
}
