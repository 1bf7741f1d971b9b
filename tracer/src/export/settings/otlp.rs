//! `OTEL_EXPORTER_OTLP_…`: where telemetry is sent, and how.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Reader, SettingsError};
use crate::export::wire::Wire;

/// How OTLP is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`.
    Grpc,
    /// `http/protobuf`.
    HttpProtobuf,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `gzip`.
    Gzip,
}

/// Files in PEM format for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// `…_CERTIFICATE`: trusted instead of the public authorities.
    pub ca: Option<PathBuf>,
    /// `…_CLIENT_CERTIFICATE` and `…_CLIENT_KEY`.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Where one signal is sent, and how.
#[derive(Clone, Debug)]
pub struct OtlpSettings {
    /// Scheme, authority and, for HTTP, the whole path. `https` means TLS.
    pub endpoint: Uri,
    /// Protocol.
    pub protocol: Protocol,
    /// Sent with each request. Values are marked as sensitive.
    pub headers: HeaderMap,
    /// Compression.
    pub compression: Compression,
    /// Longest time that one attempt may take.
    pub timeout: Duration,
    /// TLS files.
    pub tls: TlsFiles,
}

impl OtlpSettings {
    pub(super) fn read(variables: Reader<'_>, wire: Wire) -> Result<Self, SettingsError> {
        let variables = Otlp { variables, wire };
        let protocol = variables.protocol()?;
        Ok(Self {
            endpoint: variables.endpoint(protocol)?,
            protocol,
            headers: variables.headers()?,
            compression: variables
                .word("COMPRESSION", "none, gzip", |word| match word {
                    "none" => Some(Compression::None),
                    "gzip" => Some(Compression::Gzip),
                    _ => None,
                })?
                .unwrap_or(Compression::None),
            timeout: variables.timeout()?,
            tls: variables.tls()?,
        })
    }

    /// The endpoint without credentials, for messages.
    #[must_use]
    pub fn shown_endpoint(&self) -> String {
        let host = self.endpoint.host().unwrap_or_default();
        let port = self.endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = match self.protocol {
            Protocol::Grpc => "",
            Protocol::HttpProtobuf => self.endpoint.path(),
        };
        format!("{}://{host}{port}{path}", self.endpoint.scheme_str().unwrap_or("http"))
    }
}

/// The OTLP variables as one signal sees them: its own before the generic ones.
#[derive(Clone, Copy)]
struct Otlp<'a> {
    variables: Reader<'a>,
    wire: Wire,
}

impl<'a> Otlp<'a> {
    fn own(self, name: &str) -> Option<(String, &'a str)> {
        self.named(&format!("{}{name}", self.wire.variable))
    }

    fn named(self, name: &str) -> Option<(String, &'a str)> {
        let variable = format!("OTEL_EXPORTER_OTLP_{name}");
        self.variables.get(&variable).map(|value| (variable, value))
    }

    /// The signal's own variable, else the generic one: its full name and value.
    fn get(self, name: &str) -> Option<(String, &'a str)> {
        self.own(name).or_else(|| self.named(name))
    }

    fn word<T>(
        self,
        name: &str,
        words: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingsError> {
        let Some((variable, value)) = self.get(name) else { return Ok(None) };
        let error = || SettingsError::Word { variable, value: value.to_owned(), words };
        parse(&value.to_ascii_lowercase()).map(Some).ok_or_else(error)
    }

    fn protocol(self) -> Result<Protocol, SettingsError> {
        let parse = |word: &str| match word {
            "grpc" => Some(Protocol::Grpc),
            "http/protobuf" => Some(Protocol::HttpProtobuf),
            _ => None,
        };
        Ok(self.word("PROTOCOL", "grpc, http/protobuf", parse)?.unwrap_or(Protocol::HttpProtobuf))
    }

    fn timeout(self) -> Result<Duration, SettingsError> {
        let own = self.variables.timeout(&format!("OTEL_EXPORTER_OTLP_{}TIMEOUT", self.wire.variable))?;
        let generic = self.variables.timeout("OTEL_EXPORTER_OTLP_TIMEOUT")?;
        Ok(own.or(generic).unwrap_or(Duration::from_secs(10)))
    }

    fn tls(self) -> Result<TlsFiles, SettingsError> {
        let ca = self.get("CERTIFICATE").map(|(_, path)| PathBuf::from(path));
        let identity = match (self.get("CLIENT_CERTIFICATE"), self.get("CLIENT_KEY")) {
            (Some((_, certificate)), Some((_, key))) => {
                Some((PathBuf::from(certificate), PathBuf::from(key)))
            }
            (None, None) => None,
            (Some((given, _)), None) => return Err(half_identity(given, "CLIENT_KEY")),
            (None, Some((given, _))) => return Err(half_identity(given, "CLIENT_CERTIFICATE")),
        };
        Ok(TlsFiles { ca, identity })
    }

    /// The endpoint's URL. The generic variable is a base to which HTTP's path is appended; a signal's own is
    /// used verbatim, with `/` for no path.
    fn endpoint(self, protocol: Protocol) -> Result<Uri, SettingsError> {
        let (own, given) = (self.own("ENDPOINT"), self.named("ENDPOINT"));
        let append = own.is_none() && protocol == Protocol::HttpProtobuf;
        let port = if protocol == Protocol::Grpc { 4317 } else { 4318 };
        let (variable, value) = own.or(given).map_or_else(
            || ("the default endpoint".to_owned(), format!("http://localhost:{port}")),
            |(variable, value)| (variable, value.to_owned()),
        );
        let error = |reason: String| SettingsError::Endpoint {
            variable: variable.clone(),
            value: without_credentials(&value),
            reason,
        };
        let whole = if value.contains("://") {
            value.clone()
        } else if protocol == Protocol::Grpc {
            format!("{}://{value}", if self.insecure()? { Scheme::HTTP } else { Scheme::HTTPS })
        } else {
            return Err(error("it has no scheme; begin it with http:// or https://".to_owned()));
        };
        let uri: Uri = whole.parse().map_err(|reason: http::uri::InvalidUri| error(reason.to_string()))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(error("its scheme must be http or https".to_owned()));
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(error("it names no host".to_owned()));
        }
        let given = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = if append { self.signal_path(&uri) } else { given.to_owned() };
        let mut parts = uri.into_parts();
        let path = PathAndQuery::try_from(path).map_err(|reason| error(reason.to_string()))?;
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|reason| error(reason.to_string()))
    }

    fn signal_path(self, base: &Uri) -> String {
        format!("{}/{}", base.path().trim_end_matches('/'), self.wire.http_path)
    }

    /// Only asked where an endpoint for gRPC has no scheme.
    fn insecure(self) -> Result<bool, SettingsError> {
        let parse = |word: &str| match word {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        Ok(self.word("INSECURE", "true, false", parse)?.unwrap_or(false))
    }

    /// Headers, written like W3C Baggage: percent-encoded values, optional white space.
    fn headers(self) -> Result<HeaderMap, SettingsError> {
        let mut headers = HeaderMap::new();
        let Some((variable, list)) = self.get("HEADERS") else { return Ok(headers) };
        for (index, entry) in list.split(',').enumerate().filter(|(_, entry)| !entry.trim().is_empty()) {
            let error =
                |reason| SettingsError::Headers { variable: variable.clone(), entry: index + 1, reason };
            let (name, value) = entry.split_once('=').ok_or_else(|| error("has no `=`"))?;
            let name =
                HeaderName::try_from(name.trim()).map_err(|_| error("has a name that is no header's"))?;
            let value =
                percent_decoded(value.trim()).ok_or_else(|| error("has a `%` without two hex digits"))?;
            let mut value =
                HeaderValue::try_from(value).map_err(|_| error("has a value with control characters"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(headers)
    }
}

fn half_identity(given: String, other: &str) -> SettingsError {
    let missing = given.replace("CLIENT_CERTIFICATE", other).replace("CLIENT_KEY", other);
    SettingsError::HalfIdentity { given, missing }
}

/// The URL with its user information, if any, replaced.
fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => format!("{scheme}://REDACTED{}", &rest[at..]),
        None => url.to_owned(),
    }
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        decoded.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, Variables};
    use super::*;

    fn read(list: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let name = |name: &str| format!("OTEL_EXPORTER_OTLP_{name}");
        let variables: Variables = list.iter().map(|(key, value)| (name(key), (*value).to_owned())).collect();
        Settings::from_variables(&variables)
    }

    fn endpoints(list: &[(&str, &str)]) -> [String; 2] {
        let settings = read(list).unwrap();
        [settings.traces.otlp.endpoint.to_string(), settings.logs.otlp.endpoint.to_string()]
    }

    fn error(list: &[(&str, &str)]) -> String {
        read(list).unwrap_err().to_string()
    }

    #[test]
    fn the_generic_endpoint_gets_the_path_and_a_signals_own_is_verbatim() {
        let local = |path: &str| format!("http://localhost:4318/v1/{path}");
        assert_eq!(endpoints(&[]), [local("traces"), local("logs")]);
        assert_eq!(
            endpoints(&[("ENDPOINT", "http://c:1/otlp/")]),
            ["http://c:1/otlp/v1/traces", "http://c:1/otlp/v1/logs"]
        );
        assert_eq!(
            endpoints(&[("ENDPOINT", "http://c:1"), ("TRACES_ENDPOINT", "https://t")]),
            ["https://t/", "http://c:1/v1/logs"]
        );
        assert_eq!(
            endpoints(&[("LOGS_ENDPOINT", "http://l:3100/otlp/v1/logs")])[1],
            "http://l:3100/otlp/v1/logs"
        );
    }

    #[test]
    fn grpc_takes_no_path_and_may_omit_the_scheme() {
        let grpc = ("PROTOCOL", "grpc");
        assert_eq!(endpoints(&[grpc])[0], "http://localhost:4317/");
        assert_eq!(endpoints(&[grpc, ("ENDPOINT", "c:4317")])[0], "https://c:4317/");
        assert_eq!(endpoints(&[grpc, ("ENDPOINT", "c:4317"), ("INSECURE", "TRUE")])[0], "http://c:4317/");
        assert_eq!(
            endpoints(&[("TRACES_PROTOCOL", "grpc")]),
            ["http://localhost:4317/", "http://localhost:4318/v1/logs"]
        );
    }

    #[test]
    fn a_signals_own_variable_comes_first() {
        let settings = read(&[
            ("COMPRESSION", "gzip"),
            ("LOGS_COMPRESSION", "none"),
            ("TIMEOUT", "500"),
            ("TRACES_TIMEOUT", "250"),
            ("HEADERS", "a=1"),
            ("LOGS_HEADERS", "b=2"),
            ("CERTIFICATE", "/ca.pem"),
        ])
        .unwrap();
        let (traces, logs) = (settings.traces.otlp, settings.logs.otlp);
        assert_eq!((traces.compression, logs.compression), (Compression::Gzip, Compression::None));
        assert_eq!((traces.timeout.as_millis(), logs.timeout.as_millis()), (250, 500));
        assert!(traces.headers.contains_key("a") && !logs.headers.contains_key("a"));
        assert_eq!(logs.tls.ca, Some(PathBuf::from("/ca.pem")));
    }

    #[test]
    fn headers_are_decoded_and_hidden() {
        let headers = read(&[("HEADERS", " authorization = Basic%20abc%3D%3D ,x-tenant=a=b,")])
            .unwrap()
            .traces
            .otlp
            .headers;
        assert_eq!(headers["authorization"], "Basic abc==");
        assert_eq!(headers["x-tenant"], "a=b");
        assert!(!format!("{headers:?}").contains("abc"));
    }

    #[test]
    fn errors_name_the_variable_and_no_secret() {
        assert_eq!(
            error(&[("TRACES_PROTOCOL", "http/json")]),
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is `http/json`, but must be one of: grpc, http/protobuf"
        );
        assert_eq!(
            error(&[("ENDPOINT", "collector:4318")]),
            "OTEL_EXPORTER_OTLP_ENDPOINT is `collector:4318`, which is no endpoint: it has no scheme; begin it with http:// or https://"
        );
        assert!(error(&[("ENDPOINT", "ftp://user:secret@c/")]).contains("`ftp://REDACTED@c/`"));
        assert!(error(&[("ENDPOINT", "http://")]).contains("no endpoint"));
        assert_eq!(
            error(&[("HEADERS", "a=1,api-key secret")]),
            "OTEL_EXPORTER_OTLP_HEADERS must be a list of NAME=VALUE separated by commas, but entry 2 has no `=`"
        );
        assert!(error(&[("HEADERS", "a=%4")]).contains("entry 1 has a `%`"));
        assert_eq!(
            error(&[("LOGS_CLIENT_KEY", "/key.pem")]),
            "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY is set, but OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE is not: the client's certificate and its key are needed together"
        );
    }
}
