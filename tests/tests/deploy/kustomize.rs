//! The kustomization and its overlay.

use crate::tools::{deploy, invalid, kustomized, validate};

#[test]
fn base_overlay_and_example_are_valid() {
    let policy = std::fs::read_to_string(deploy("examples/network-policy.yaml")).expect("the file");
    let kustomizations = ["kustomize/base", "kustomize/overlays/aks"].map(|path| kustomized(&deploy(path)));
    validate("kustomize", &[&kustomizations[..], &[policy]].concat());
}

#[test]
fn the_overlay_sets_image_endpoint_and_selector() {
    let manifests = kustomized(&deploy("kustomize/overlays/aks"));
    for expected in [
        "image: myregistry.azurecr.io/tracer:0.1.0",
        "value: http://otel-collector.example.internal:4318",
        "- app=jiwoo-backend",
        // What the base says stays.
        "fieldPath: spec.nodeName",
    ] {
        assert!(manifests.contains(expected), "{expected} is missing in\n{manifests}");
    }
    assert!(!manifests.contains("tracer.example/enabled"), "the base's selector is replaced");
}

/// The validator is worth something: it notices a field that there is not.
#[test]
fn a_bogus_field_is_noticed() {
    let bogus = kustomized(&deploy("kustomize/base")).replace("hostPID: true", "hostPid: true");
    let file = std::env::temp_dir().join(format!("tracer-deploy-bogus-{}.yaml", std::process::id()));
    std::fs::write(&file, bogus).expect("a file");
    let refusal = invalid(&file, "1.34");
    std::fs::remove_file(&file).expect("the file goes");
    assert!(refusal.is_some_and(|text| text.contains("hostPid")));
}
