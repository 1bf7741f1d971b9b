//! What can be wrong with the way to the cluster, in sentences.

use std::time::Duration;

use kube::client::Client;

/// Why pods cannot be selected at all. An API server that does not answer is none of these: it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The node's name is not known, so that its pods cannot be asked for.
    #[error(
        "pods are to be selected, but NODE_NAME is not set: in the DaemonSet it comes from the downward API \
         (fieldRef spec.nodeName)"
    )]
    NoNodeName,
    /// Neither a service account nor a kubeconfig.
    #[error(
        "pods are to be selected, but there is no way to the cluster: neither a service account's token in \
         /var/run/secrets/kubernetes.io/serviceaccount nor a kubeconfig (KUBECONFIG)"
    )]
    NoAccess(#[source] Box<kube::config::InferConfigError>),
    /// The way to the cluster is described, but not in a usable way.
    #[error("the way to the cluster is not usable")]
    Client(#[source] Box<kube::Error>),
}

/// How to reach the API server.
#[derive(Clone, Debug)]
pub struct Access {
    config: kube::Config,
    answer_timeout: Duration,
}

impl Access {
    /// Takes the kubeconfig that `KUBECONFIG` or the home directory holds, else the pod's service account. The server may
    /// take `answer_timeout` for each answer.
    ///
    /// # Errors
    /// [`KubernetesError::NoAccess`].
    pub async fn infer(answer_timeout: Duration) -> Result<Self, KubernetesError> {
        let mut config =
            kube::Config::infer().await.map_err(|error| KubernetesError::NoAccess(Box::new(error)))?;
        // The watch has its own pauses, which tell the state.
        config.default_retry = false;
        config.connect_timeout = Some(super::watch::CONNECT_TIMEOUT.min(answer_timeout));
        Ok(Self { config, answer_timeout })
    }

    /// How long the server may take to answer.
    #[must_use]
    pub fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// A client, which reads the token's file anew.
    ///
    /// # Errors
    /// [`KubernetesError::Client`].
    pub fn client(&self) -> Result<Client, KubernetesError> {
        Client::try_from(self.config.clone()).map_err(|error| KubernetesError::Client(Box::new(error)))
    }
}
