//! The Helm chart.

use std::fs;

use tracer::cli::Surroundings;
use tracer::enrich::process::Proc;

use crate::tools::{deploy, helm, kustomized, rendered, validate};

const NEEDED: [&str; 2] = ["podSelectors={app=shop}", "otlp.endpoint=http://collector:4318"];

fn with(more: &[&'static str]) -> Vec<&'static str> {
    NEEDED.iter().chain(more).copied().collect()
}

#[test]
fn lint_finds_nothing() {
    let output = helm(&["lint", "--strict"], &NEEDED);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn several_values_give_valid_manifests() {
    let everything = with(&[
        "podSelectors={app=shop,tier in (a\\,b)}",
        "namespaces={shop,office}",
        "otlp.protocol=grpc",
        "otlp.endpoint=https://collector:4317",
        "otlp.headersSecret=collector-auth",
        "cluster.name=aks-145",
        "cluster.cloud.provider=azure",
        "cluster.cloud.platform=azure.aks",
        "logs=correlated",
        "sqlText=off",
        "redisKeys=mask",
        "priorityClassName=system-node-critical",
        "namespace.create=true",
        "networkPolicy.enabled=true",
        "updateStrategy.maxUnavailable=1",
        "imagePullSecrets[0].name=pull",
        "nodeSelector.agentpool=apps",
        "podLabels.team=platform",
        "podAnnotations.note=x",
        "serviceAccount.annotations.note=x",
        "extraEnv[0].name=A",
        "extraEnv[0].value=b",
        "extraConfig.head=16K",
        "containers={app}",
        "healthChecks.sample=0.1",
    ]);
    let without_rbac = with(&["rbac.create=false", "serviceAccount.create=false"]);
    validate("chart", &[&NEEDED[..], &everything, &without_rbac].map(rendered));
}

#[test]
fn values_reach_the_agent() {
    let manifests = rendered(&with(&[
        "cluster.name=aks-145",
        "cluster.cloud.region=koreacentral",
        "namespaces={shop}",
        "logs=off",
        "metrics.port=9999",
        "metrics.push=true",
    ]));
    for expected in [
        "    cluster-name: aks-145\n",
        "    resource-attribute:\n    - cloud.region=koreacentral\n",
        "    pod-selector:\n    - app=shop\n",
        "    namespace:\n    - shop\n",
        "value: \"0.0.0.0:9999\"",
        "containerPort: 9999",
        "name: OTEL_METRICS_EXPORTER\n              value: otlp\n",
    ] {
        assert!(manifests.contains(expected), "{expected:?} is missing in\n{manifests}");
    }
}

#[test]
fn releases_of_one_name_in_two_namespaces_do_not_meet() {
    let of_cluster = |namespace: &str| {
        let output = helm(&["template", "tracer", "--namespace", namespace], &NEEDED);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let manifests = String::from_utf8(output.stdout).expect("text");
        let documents =
            manifests.split("\n---\n").filter(|document| document.contains("\nkind: ClusterRole"));
        let name = |document: &str| {
            let names = document.lines().filter(|line| line.starts_with("  name: "));
            names.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
        };
        documents.map(name).collect::<Vec<_>>()
    };
    let (one, other) = (of_cluster("blue"), of_cluster("green"));
    // The binding's own name, and the role that it refers to.
    assert_eq!(one, [vec!["name: blue-tracer"], vec!["name: blue-tracer", "name: blue-tracer"]]);
    assert_eq!(other, [vec!["name: green-tracer"], vec!["name: green-tracer", "name: green-tracer"]]);
}

#[test]
fn a_change_of_the_configuration_rolls_the_agents() {
    let checksum = |values: &[&str]| {
        let manifests = rendered(values);
        let line = manifests.lines().find(|line| line.contains("checksum/config")).expect("a checksum");
        line.to_owned()
    };
    assert_eq!(checksum(&NEEDED), checksum(&with(&["image.tag=v2"])));
    assert_ne!(checksum(&NEEDED), checksum(&with(&["logs=off"])));
}

#[test]
fn wrong_values_are_refused_in_words() {
    for (values, word) in [
        (vec!["otlp.endpoint=http://c:4318"], "podSelectors"),
        (vec!["podSelectors={app=x}"], "endpoint"),
        (vec!["podSelectors={app=x}", "otlp.endpoint=collector:4318"], "endpoint"),
        (with(&["logs=some"]), "logs"),
        (with(&["sqlText=plain"]), "sqlText"),
        (with(&["otlp.protocol=http"]), "protocol"),
        (with(&["podSelector={app=x}"]), "podSelector"),
        (with(&["namespaces={Shop}"]), "namespaces"),
        (with(&["metrics.port=0"]), "port"),
        (with(&["metrics.push=prometheus"]), "push"),
        (with(&["ringSize=big"]), "ringSize"),
        (with(&["updateStrategy.maxUnavailable=0"]), "maxUnavailable"),
        (with(&["cluster.name=a=b"]), "name"),
        (with(&["healthChecks.paths={ping}"]), "paths"),
        (with(&["healthChecks.sample=1.5"]), "sample"),
        (with(&["healthChecks.mode=none"]), "mode"),
        (with(&["resources.limits.memory=null"]), "memory"),
    ] {
        let output = helm(&["template", "tracer"], &values);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{values:?} is taken");
        assert!(said.contains(word) && said.contains("schema"), "{values:?}: {said}");
    }
}

#[test]
fn what_is_no_selector_is_refused_in_words() {
    let endpoint = "otlp.endpoint=http://collector:4318";
    for wrong in ["app in (a,b)", "app x", "a=b=c", "!a=b", "a in b", "(a)", "a=-", "a>", "ä"] {
        let output = helm(&["template", "tracer"], &[endpoint, &format!("podSelectors={{{wrong}}}")]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{wrong} is taken");
        assert!(said.contains("is not a label selector. Write it as for kubectl"), "{wrong}: {said}");
    }
    for right in
        ["app==x", "!none", "tier in (a\\,b)\\,! x", "n>6", "x.example/in in (in)", "empty notin (\\,q)"]
    {
        let output = helm(&["template", "tracer"], &[endpoint, &format!("podSelectors={{{right}}}")]);
        assert!(output.status.success(), "{right}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What the chart writes is a configuration that the agent takes.
#[test]
fn the_agent_takes_the_configuration() {
    let values = with(&[
        "podSelectors={app=shop,tier in (a\\,b)}",
        "namespaces={shop}",
        "containers={app,web-*}",
        "healthChecks.mode=drop-all",
        "healthChecks.paths={/ping,/internal/*}",
        "healthChecks.agents={Load Balancer Agent}",
        "healthChecks.sample=0.25",
        "cluster.name=aks-145",
        "cluster.cloud.provider=azure",
        "sqlText=off",
        "extraConfig.head=16K",
        "extraConfig.api-timeout=10s",
    ]);
    for (index, values) in [values, with(&[]), vec![NEEDED[1], "namespaces={shop}"]].iter().enumerate() {
        let name = format!("tracer-deploy-{}-config-{index}.yaml", std::process::id());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, configuration(&rendered(values))).expect("a file");
        let surroundings = Surroundings { variable: &|_| None, proc: &Proc::default(), own: 1 };
        let arguments = ["tracer", "run", "--config", file.to_str().expect("a path")];
        let taken = tracer::cli::parse(arguments, &surroundings);
        fs::remove_file(&file).expect("the file goes");
        let tracer::cli::Command::Run(config) = taken.expect("a configuration") else { panic!("not a run") };
        assert!(!config.selection.pods.is_empty());
    }
}

/// The text under `config.yaml: |` of the ConfigMap.
fn configuration(manifests: &str) -> String {
    let lines = manifests.lines().skip_while(|line| *line != "  config.yaml: |").skip(1);
    lines.map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect()
}

/// The guide's own command, as it stands there.
#[test]
fn the_guide_installs() {
    let guide = fs::read_to_string(deploy("README.md")).expect("the guide");
    let from = guide.find("helm install tracer").expect("the command");
    let command: String = guide[from..].lines().take_while(|line| !line.contains("```")).collect();
    let values: Vec<&str> = command
        .split("--set ")
        .skip(1)
        .map(|value| value.trim_matches(|c| c == ' ' || c == '\\' || c == '\''))
        .collect();
    assert_eq!(values.len(), 7, "{command}");
    let manifests = rendered(&values);
    assert!(manifests.contains("image: \"myregistry.azurecr.io/tracer:0.1.0\""));
    validate("guide", &[manifests]);
}

/// Both ways to install hold the same rights and no more.
#[test]
fn chart_and_kustomization_ask_for_the_same_rights() {
    let chart = rendered(&NEEDED);
    let base = kustomized(&deploy("kustomize/base"));
    for manifests in [&chart, &base] {
        assert_eq!(capabilities(manifests), ["BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH"]);
        for expected in [
            "hostPID: true",
            "readOnlyRootFilesystem: true",
            "allowPrivilegeEscalation: false",
            "privileged: false",
            "type: RuntimeDefault",
        ] {
            assert!(manifests.contains(expected), "{expected} is missing in\n{manifests}");
        }
        for unwanted in ["privileged: true", "SYS_ADMIN", "hostNetwork", "hostIPC", "- secrets", "- nodes"] {
            assert!(!manifests.contains(unwanted), "{unwanted} stands in\n{manifests}");
        }
    }
}

/// The capabilities that are added, in order.
fn capabilities(manifests: &str) -> Vec<&str> {
    manifests
        .lines()
        .skip_while(|line| line.trim() != "add:")
        .skip(1)
        .map_while(|line| line.trim().strip_prefix("- "))
        .map(|line| line.split_whitespace().next().unwrap_or_default())
        .collect()
}
