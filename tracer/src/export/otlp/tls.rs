//! TLS of both clients: the given authority, or the public ones; the client's own certificate where one is given.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::export::ExportError;
use crate::export::settings::TlsFiles;

/// TLS for HTTP.
pub(super) fn for_http(files: &TlsFiles) -> Result<ClientConfig, ExportError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls_error)?;
    let builder = match &files.ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.with_webpki_roots(),
    };
    match &files.identity {
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| unusable(certificate, &error)),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// TLS for gRPC.
pub(super) fn for_grpc(files: &TlsFiles) -> Result<ClientTlsConfig, ExportError> {
    // What tonic does with these files is checked by the same code as for HTTP, for the same sentences.
    for_http(files)?;
    let config = match &files.ca {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_webpki_roots(),
    };
    Ok(match &files.identity {
        Some((certificate, key)) => config.identity(Identity::from_pem(read(certificate)?, read(key)?)),
        None => config,
    })
}

fn roots(path: &Path) -> Result<RootCertStore, ExportError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| unusable(path, &error))?;
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ExportError> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(unusable(path, &"it holds no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ExportError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| unusable(path, &error))
}

fn read(path: &Path) -> Result<Vec<u8>, ExportError> {
    std::fs::read(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> ExportError {
    ExportError::TlsFile { path: path.to_owned(), reason: reason.to_string() }
}

fn tls_error(error: rustls::Error) -> ExportError {
    ExportError::Client(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_files_the_public_authorities_are_trusted() {
        assert!(for_http(&TlsFiles::default()).is_ok());
        assert!(for_grpc(&TlsFiles::default()).is_ok());
    }

    #[test]
    fn bad_files_are_named() {
        let missing = TlsFiles { ca: Some("/no/such.pem".into()), identity: None };
        let error = for_grpc(&missing).unwrap_err().to_string();
        assert_eq!(error, "cannot use /no/such.pem for TLS: No such file or directory (os error 2)");
        let no_pem = TlsFiles { ca: Some("Cargo.toml".into()), identity: None };
        let error = for_http(&no_pem).unwrap_err().to_string();
        assert_eq!(error, "cannot use Cargo.toml for TLS: it holds no certificate");
    }
}
