//! The parts of the reference: which object stands where, and an example of each.

/// A part of the reference.
pub struct Section {
    /// Where in a configuration.
    pub place: &'static str,
    /// The object's name in the schema.
    pub of: &'static str,
    /// What is to be said besides the schema's own words; may be empty.
    pub also: &'static str,
    /// A part of a configuration.
    pub example: &'static str,
}

impl Section {
    /// The heading.
    pub fn heading(&self) -> String {
        if self.place.contains(' ') { self.place.to_owned() } else { format!("`{}`", self.place) }
    }

    /// What links to the heading name it by.
    pub fn anchor(&self) -> String {
        let kept =
            self.place.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    }
}

const fn section(
    place: &'static str,
    of: &'static str,
    also: &'static str,
    example: &'static str,
) -> Section {
    Section { place, of, also, example }
}

/// What comes before all of them.
pub const FORMS: &str = r#"<!-- Made by `claimgate schema --markdown`. Do not edit: change the comments of src/config/raw/, and run it again. -->

# Configuration

The members of a configuration, each with its type, its default and its limits. It is made of the same source as
[claimgate.schema.json](claimgate.schema.json), the JSON Schema that [editors use](#in-an-editor). [Policies](policies.md) goes from
the task to the configuration; [conditions](conditions.md) and [routes](routes.md) say row by row what theirs mean.

A configuration is one JSON document. Envoy takes it as YAML in place (a `google.protobuf.Struct`), or as JSON text (a
`StringValue` or `BytesValue`); the command line reads YAML and JSON. `claimgate check FILE` loads one as the filter does and
names the place of each mistake: `routes[2].require.any[0].claim`.

- **A duration** is one whole number and its unit: `250ms`, `30s`, `5m`, `720h`, `30d`.
- **A name** (of the filter, issuers, routes, attributes) is lower-case letters, digits, `-` and `_`.
- **A claim** is the exact name of a top-level claim, dots included, or begins with `/` and is a JSON Pointer (RFC 6901).
- **An unknown member is refused**, and so are null, an empty list where it would match nothing, and a member twice.
- **An integer beyond 2^53** is exact only in JSON text: the numbers of a `Struct` are doubles.

Each example is a part of a configuration: together with the first one it loads.

## In an editor

VS Code with the YAML extension, and every other editor that runs yaml-language-server, completes and checks a file that holds a
configuration alone and says where the schema is, by an address or by a path from the file:

```yaml
# yaml-language-server: $schema=https://raw.githubusercontent.com/claimgate/claimgate/main/docs/claimgate.schema.json
version: 1
routes:
  - { name: health, paths: [/healthz], token: none }
```

`claimgate schema > claimgate.schema.json` writes the schema of the version that you have; `# yaml-language-server:
$schema=claimgate.schema.json` takes it from beside the file. For JSON name it in the editor's settings (`json.schemas`), since
a member `$schema` would be refused. The schema knows shapes and words. What goes beyond them, as a name that leads nowhere or
a key that cannot be used, is found by `claimgate check`. A configuration inside an envoy.yaml is not completed: keep it in a
file of its own while you write it.
"#;

/// The parts, in the order of the document.
pub const SECTIONS: [Section; 26] = [
    section(
        "Top level",
        "Config",
        "",
        r#"
version: 1
name: edge
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [logs-api]
    keys:
      - jwks:
          keys:
            - { kty: EC, crv: P-256, kid: example-1, alg: ES256, use: sig,
                x: 7LUOy-XDKr-cyzAAcRevskvZ4WLhfmE-I8xcL53P-UU, y: Lz8d2Aoa0v4zND8n8KbmUycTL9RwIw9c9LfUiuedCgE }
routes:
  - name: logs
    paths: ["/logs/**"]
"#,
    ),
    section(
        "issuers.NAME",
        "Issuer",
        "",
        r#"
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [logs-api]
    keys: [{ remote: { cluster: idp, url: "https://idp.example.com/jwks.json" } }]
    algorithms: [RS256, ES256]
    clock_skew: 10s
    max_lifetime: 1h
    type: at+jwt
    require_claims: [sub, jti]
    attributes: { tenant: "https://example.com/tenant_id", groups: /realm_access/roles }
"#,
    ),
    section(
        "issuers.NAME.keys[]",
        "KeySource",
        "",
        r#"
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [logs-api]
    keys:
      - jwks: { keys: [{ kty: OKP, crv: Ed25519, alg: EdDSA, kid: dev, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo }] }
      - pem: |
          -----BEGIN PUBLIC KEY-----
          MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
          -----END PUBLIC KEY-----
        kid: key-1
        algorithms: [EdDSA]
"#,
    ),
    section(
        "issuers.NAME.keys[].remote",
        "Remote",
        "",
        r#"
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [logs-api]
    keys:
      - remote: { cluster: idp, url: "https://idp.example.com/jwks.json", refresh: 5m, timeout: 2s, max_stale: 24h }
"#,
    ),
    section(
        "A secret",
        "Secret",
        "It stands at `issuers.NAME.keys[].secret`, `audit.hash_key` and `audit.integrity.sign`.",
        r#"
issuers:
  partner:
    issuer: https://partner.example.com
    audiences: [logs-api]
    keys:
      - secret: { env: JWT_SECRET, encoding: base64 }
        algorithms: [HS256]
"#,
    ),
    section(
        "issuers.NAME.token_from[]",
        "TokenFrom",
        "",
        r#"
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [logs-api]
    keys: [{ remote: { cluster: idp, url: "https://idp.example.com/jwks.json" } }]
    token_from:
      - { header: authorization, scheme: Bearer }
      - { header: x-access-token }
      - { cookie: session, origins: ["https://app.example.com"] }
      - { websocket_protocol: "bearer." }
"#,
    ),
    section(
        "issuers.NAME.revocation",
        "Revocation",
        "[Revocation](revocation.md) says how it works, and what a list costs.",
        r#"
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [logs-api]
    keys: [{ remote: { cluster: idp, url: "https://idp.example.com/jwks.json" } }]
    require_claims: [jti, sid]
    revocation:
      tokens: [8c2d3a9e-1f4b-4a6e-9b1d-0c5e7f2a3b4c]
      sessions: [session-17]
      subjects: { alice: 2026-11-22T10:00:00Z }
      issued_before: 2026-11-01T00:00:00Z
"#,
    ),
    section(
        "issuers.NAME.revocation.remote",
        "RemoteRevocations",
        "",
        r#"
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [logs-api]
    keys: [{ remote: { cluster: idp, url: "https://idp.example.com/jwks.json" } }]
    revocation:
      remote: { cluster: idp, url: "https://idp.example.com/revoked.json", refresh: 30s, max_stale: 10m, on_stale: refuse }
"#,
    ),
    section(
        "issuers.NAME.renew",
        "Renew",
        "[Sessions](sessions.md) says how it works.",
        r#"
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [logs-api]
    keys: [{ remote: { cluster: idp, url: "https://idp.example.com/jwks.json" } }]
    token_from: [{ cookie: session }]
    renew:
      cluster: idp
      url: https://idp.example.com/oauth2/token
      client: { id: logs-ui }
      refresh_cookie: session_refresh
      early: 60s
      grace: 12h
      on_refused: clear
"#,
    ),
    section(
        "issuers.NAME.renew.client",
        "Client",
        "",
        r#"
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [logs-api]
    keys: [{ remote: { cluster: idp, url: "https://idp.example.com/jwks.json" } }]
    token_from: [{ cookie: session }]
    renew:
      cluster: idp
      url: https://idp.example.com/oauth2/token
      client: { id: logs-ui, secret: { env: OAUTH_SECRET }, auth: post }
      refresh_cookie: session_refresh
"#,
    ),
    section(
        "issuers.NAME.renew.cookie",
        "Cookie",
        "",
        r#"
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [logs-api]
    keys: [{ remote: { cluster: idp, url: "https://idp.example.com/jwks.json" } }]
    token_from: [{ cookie: session }]
    renew:
      cluster: idp
      url: https://idp.example.com/oauth2/token
      client: { id: logs-ui }
      refresh_cookie: session_refresh
      cookie: { path: /, same_site: strict, secure: true, max_age: 720h }
"#,
    ),
    section(
        "defaults",
        "Defaults",
        "",
        r#"
defaults: { issuers: [corp], methods: [GET, HEAD] }
"#,
    ),
    section(
        "routes[]",
        "Route",
        "",
        r#"
routes:
  - name: health
    paths: [/healthz]
    methods: [GET, HEAD]
    token: none
  - name: tenant-logs
    hosts: ["{tenant}.logs.example.com"]
    paths: ["/logs/{env}/**", "/logs-{env}-*/_search"]
    methods: [GET, HEAD, POST]
    require: { claim: tenants, any_of: ["${host.tenant}"] }
  - name: live
    paths: [/live]
    methods: [GET]
    upgrade: [websocket]
  - name: no-internal
    paths: ["/internal/**"]
    deny: true
"#,
    ),
    section(
        "A condition",
        "Condition",
        "It stands at `routes[].require` and `conditions.NAME`, and within conditions. \
               Strings of `any_of`, `all_of`, `none_of` and `equals` may hold placeholders: \
               `${path.NAME}`, `${host.NAME}`, `${query.NAME}`, `${header.NAME}`, `${host}`, `${method}`; `$${` is `${` itself.",
        r#"
conditions:
  staff: { claim: /realm_access/roles, any_of: [staff, admin] }
  not-suspended: { not: { claim: suspended, equals: true, absent: false } }
routes:
  - name: reports
    paths: ["/reports/{team}/**"]
    require:
      all:
        - { ref: staff }
        - { ref: not-suspended }
        - { scopes: [reports.read] }
        - any:
            - { claim: team, equals: "${path.team}" }
            - { claim: level, at_least: 3 }
"#,
    ),
    section(
        "routes[].audit",
        "RouteAudit",
        "",
        r#"
routes:
  - name: health
    paths: [/healthz]
    token: none
    audit: { allowed: none }
  - name: logs
    paths: ["/logs/**"]
    audit: { allowed: 0.1 }
"#,
    ),
    section(
        "identity",
        "Identity",
        "",
        r#"
identity:
  headers:
    x-user-id: { attribute: subject }
    x-user-email: email
  payload_header: x-jwt-payload
  strip: ["x-internal-*"]
"#,
    ),
    section(
        "identity.headers.NAME",
        "Long",
        "",
        r#"
identity:
  headers:
    x-user-issuer: { attribute: issuer }
    x-user-roles: { claim: /realm_access/roles, format: csv }
    x-user-address: { claim: address, format: json }
"#,
    ),
    section(
        "audit",
        "Audit",
        "",
        r#"
audit:
  allowed: 0.1
  denied: all
  subject: hash
  path: route
  claims: { email: mask, tenant: plain, /address/country: plain }
  hash_key: { env: AUDIT_HASH_KEY }
"#,
    ),
    section(
        "audit.max_per_second",
        "Caps",
        "",
        r#"
audit:
  max_per_second: { allowed: 2000, denied: 500 }
"#,
    ),
    section(
        "audit.integrity",
        "Integrity",
        "",
        r#"
audit:
  integrity:
    sign: { env: AUDIT_SIGN_KEY }
    checkpoint: 10s
"#,
    ),
    section(
        "path_safety",
        "PathSafety",
        "It stands at the top level, for every route, and at `routes[].path_safety`, for one.",
        r#"
path_safety: { case: insensitive }
routes:
  - name: repository
    paths: ["/repository/**"]
    path_safety: { encoded_slash: allow }
"#,
    ),
    section(
        "responses",
        "Responses",
        "",
        r#"
responses:
  cors: { allow_origins: ["https://app.example.com"] }
  login: { url: "https://login.example.com/?rd={url}" }
"#,
    ),
    section(
        "responses.cors",
        "Cors",
        "",
        r#"
responses:
  cors:
    allow_origins: ["https://app.example.com", "https://*.example.com"]
    allow_credentials: true
    expose_headers: [x-request-id]
    max_age: 10m
"#,
    ),
    section(
        "responses.body.CODE",
        "Body",
        "",
        r#"
responses:
  body:
    token_expired: { content_type: application/json, text: '{"code":"token_expired","renew":true}' }
"#,
    ),
    section(
        "responses.login",
        "Login",
        "",
        r#"
responses:
  login: { url: "/login?rd={url}" }
"#,
    ),
    section(
        "candidate",
        "Candidate",
        "",
        r#"
candidate:
  routes:
    - name: logs
      paths: ["/logs/**"]
      require: { claim: roles, any_of: [log-reader] }
"#,
    ),
];
