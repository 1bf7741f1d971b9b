use clap::CommandFactory as _;
use tracing::level_filters::LevelFilter;

use super::listen::Listen;
use super::*;
use crate::correlate::sampler::Sampler;
use crate::enrich::fixture::Directory;
use crate::enrich::sdk::SdkTargets;
use crate::export::Target;
use crate::kubernetes::PodRules;
use crate::pipeline::{Keep, LogMode};
use crate::probe::AttachMode;
use crate::span::SqlText;
use crate::span::http::{KNOWN_METHODS, RouteMode};

fn parse_with(arguments: &[&str], variable: &dyn Fn(&str) -> Option<String>) -> Result<Command, CliError> {
    let proc = Proc::default();
    let surroundings = Surroundings { variable, proc: &proc, own: std::process::id() };
    parse(std::iter::once(&"tracer").chain(arguments), &surroundings)
}

fn parse_bare(arguments: &[&str]) -> Result<Command, CliError> {
    parse_with(arguments, &|_| None)
}

fn run(arguments: &[&str]) -> RunConfig {
    match parse_bare(&[&["run"], arguments].concat()) {
        Ok(Command::Run(config)) => *config,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

/// The sentence and the exit code for `tracer run` with these arguments.
fn refused(arguments: &[&str]) -> (String, u8) {
    let error = parse_bare(&[&["run"], arguments].concat()).unwrap_err();
    (sentence(&error), error.exit_code())
}

#[test]
fn the_arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn defaults() {
    let config = run(&["--port", "80"]);
    assert_eq!(config.selection.ports, [80]);
    assert_eq!(config.exports, [Target::Console]);
    assert_eq!(
        (config.probe.attach, config.pipeline.logs, config.sdk_targets),
        (AttachMode::Auto, LogMode::All, SdkTargets::Skip)
    );
    assert_eq!(
        (
            config.pipeline.spans.sql_text,
            config.pipeline.spans.mask_redis_keys,
            config.pipeline.spans.redis_batch_commands
        ),
        (SqlText::Sanitized, false, false)
    );
    assert_eq!(
        (config.pipeline.spans.routes.mode, config.log_level),
        (RouteMode::Heuristic, LevelFilter::INFO)
    );
    assert_eq!((config.probe.head, config.probe.tail, config.probe.ring_bytes), (8192, 512, 16 << 20));
    assert_eq!(
        (config.pipeline.spans.known_methods.len(), config.pipeline.spans.database_dup),
        (KNOWN_METHODS.len(), false)
    );
}

#[test]
fn everything_given() {
    let config = run(&[
        "--pid",
        "1",
        "--exe",
        "python3*",
        "--exe",
        "/usr/**",
        "--port",
        "80,81",
        "--cgroup",
        "/a",
        "--service-name",
        "s",
        "--export",
        "otlp",
        "--export",
        "file:/x,console",
        "--export",
        "otlp",
        "--attach",
        "fexit",
        "--logs",
        "correlated",
        "--sdk-targets",
        "trace",
        "--sql-text",
        "off",
        "--redis-keys",
        "mask",
        "--redis-batch",
        "commands",
        "--routes",
        "patterns",
        "--route",
        "/a/{id}",
        "--head",
        "16K",
        "--tail",
        "0",
        "--ring-size",
        "64MiB",
        "--log-level",
        "trace",
    ]);
    assert_eq!(
        (config.selection.pids.as_slice(), config.selection.ports.as_slice()),
        (&[1][..], &[80, 81][..])
    );
    assert_eq!((config.selection.exes.len(), config.selection.cgroups.len()), (2, 1));
    assert_eq!(config.service_name.as_deref(), Some("s"));
    assert_eq!(config.exports, [Target::Otlp, Target::File("/x".into()), Target::Console]);
    assert_eq!(
        (config.probe.attach, config.pipeline.logs, config.sdk_targets),
        (AttachMode::Fexit, LogMode::Correlated, SdkTargets::Trace)
    );
    assert_eq!(
        (
            config.pipeline.spans.sql_text,
            config.pipeline.spans.mask_redis_keys,
            config.pipeline.spans.redis_batch_commands
        ),
        (SqlText::Off, true, true)
    );
    assert_eq!(
        (config.pipeline.spans.routes.mode, config.pipeline.spans.routes.patterns.as_slice()),
        (RouteMode::Patterns, &["/a/{id}".parse().unwrap()][..])
    );
    assert_eq!((config.probe.head, config.probe.tail, config.probe.ring_bytes), (16_384, 0, 64 << 20));
    assert_eq!(config.log_level, LevelFilter::TRACE);
}

#[test]
fn the_default_export_follows_the_standard_variables() {
    for name in [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    ] {
        for (value, wanted) in [("http://c:4318", Target::Otlp), ("", Target::Console)] {
            let variable = |asked: &str| (asked == name).then(|| value.to_owned());
            let command = parse_with(&["run", "--port", "80"], &variable).unwrap();
            let Command::Run(config) = command else { panic!("{command:?}") };
            assert_eq!(config.exports, [wanted], "{name}={value}");
        }
    }
    let variable = |name: &str| match name {
        "OTEL_SEMCONV_STABILITY_OPT_IN" => Some("http, database/dup".to_owned()),
        "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS" => Some("GET,PURGE".to_owned()),
        _ => None,
    };
    let Command::Run(config) = parse_with(&["run", "--port", "80"], &variable).unwrap() else { panic!() };
    assert!(config.pipeline.spans.database_dup);
    assert_eq!(config.pipeline.spans.known_methods, ["GET", "PURGE"]);
}

#[test]
fn errors_are_sentences() {
    let table: [(&[&str], &str, u8); 18] = [
        (
            &[],
            "nothing is selected: say what to trace with --pid PID, --exe GLOB, --port PORT, --cgroup PATH or --pod-selector SELECTOR (several are OR-ed)",
            2,
        ),
        (&["--pid", "4194305"], "--pid: there is no process 4194305", 1),
        (&["--pid", "0"], "--pid: there is no process 0", 1),
        (&["--port", "0"], "--port 0 is no port to listen on: give 1 to 65535", 2),
        (&["--exe", "a["], "--exe \"a[\" is not a pattern: unclosed character class; missing ']'", 2),
        (&["--exe", ""], "--exe and --cgroup need a value that is not empty", 2),
        (
            &["--pod-selector", "app x"],
            "--pod-selector \"app x\" is not a label selector: expected '=', '==', '!=', 'in', 'notin', '>', '<', ',' or the end, found 'x' at character 5",
            2,
        ),
        (
            &["--pod-selector", ""],
            "--pod-selector \"\" is not a label selector: the selector is empty at character 1",
            2,
        ),
        (
            &["--namespace", "A b"],
            "--namespace \"A b\" is not a name of a namespace: lower-case letters, digits and '-', at most 63 characters",
            2,
        ),
        (
            &["--port", "80", "--container", "app"],
            "--container narrows pods that are selected: give --pod-selector or --namespace too",
            2,
        ),
        (
            &["--port", "80", "--head", "1"],
            "--head must be from 64 bytes to 63 KiB, and --tail at most 1 KiB",
            2,
        ),
        (
            &["--port", "80", "--head", "64K"],
            "--head must be from 64 bytes to 63 KiB, and --tail at most 1 KiB",
            2,
        ),
        (
            &["--port", "80", "--tail", "5G"],
            "--head must be from 64 bytes to 63 KiB, and --tail at most 1 KiB",
            2,
        ),
        (
            &["--port", "80", "--ring-size", "3M"],
            "--ring-size of 3 MiB is not possible: give a power of two from 512 KiB to 1 GiB",
            2,
        ),
        (
            &["--port", "80", "--ring-size", "4K"],
            "--ring-size of 4 KiB is not possible: give a power of two from 512 KiB to 1 GiB",
            2,
        ),
        (
            &["--port", "80", "--routes", "patterns"],
            "--routes patterns needs at least one --route PATTERN",
            2,
        ),
        (
            &["--config", "/nowhere/x.yaml"],
            "the configuration file /nowhere/x.yaml could not be read: No such file or directory (os error 2)",
            1,
        ),
        (
            &["--pid", &std::process::id().to_string()],
            &format!("--pid: process {} is the tracer itself, which is never a target", std::process::id()),
            1,
        ),
    ];
    for (arguments, text, code) in table {
        assert_eq!(refused(arguments), (text.to_owned(), code), "{arguments:?}");
    }
}

#[test]
fn pods_are_selected_by_arguments_and_file() {
    let config =
        run(&["--pod-selector", "app=x,tier in (a,b)", "--pod-selector", "!y", "--namespace", "n,m"]);
    assert_eq!((config.selection.pods.0.len(), config.listen), (2, Listen::EVERYWHERE));
    assert_eq!(run(&["--port", "80"]).listen, Listen::Off);
    let root = Directory::new();
    root.write(
        "c.yaml",
        "pods:\n- selector: app=x\n  containers: [app]\n- namespaces: [shop]\ncluster-name: c1\nlisten: 127.0.0.1:1\n\
         service-labels: true\nresource-attribute: ['cloud.provider=azure']\npod-label: [tier]\n",
    );
    let path = root.join("c.yaml");
    let config = run(&["--config", path.to_str().unwrap()]);
    let PodRules(rules) = &config.selection.pods;
    assert_eq!((rules.len(), rules[0].containers.len(), rules[1].namespaces.len()), (2, 1, 1));
    assert_eq!(config.resource.attributes.len(), 2);
    assert!(config.resource.pods.service_labels && config.resource.pods.labels == ["tier"]);
    root.write("c.yaml", "pods:\n- {}\n");
    assert!(refused(&["--config", path.to_str().unwrap()]).0.contains("selects every pod"));
    root.write("c.yaml", "pods:\n- labels: a\n");
    assert!(refused(&["--config", path.to_str().unwrap()]).0.contains("line 2"));
}

#[test]
fn clap_refuses_what_it_knows() {
    for (arguments, word) in [
        (vec!["run", "--prot", "80"], "--port"),
        (vec!["run", "--port", "http"], "http"),
        (vec!["run", "--port", "70000"], "70000"),
        (vec!["run", "--head", "five"], "not a size"),
        (vec!["run", "--export", "nowhere"], "give otlp, console or file:PATH"),
        (vec!["run", "--export", "file:"], "give otlp, console or file:PATH"),
        (vec!["run", "--attach", "kprobe"], "tracepoint"),
        (vec!["run", "--route", "a"], "\"a\" is no route: it must begin with a slash"),
        (vec!["run", "--route", "/a/x{id}"], "a parameter must be a whole segment"),
        (vec!["run", "--route", "/*/a"], "'*' may only be the last segment"),
        (vec!["trace"], "trace"),
        (vec!["replay"], "<FILE>"),
        (vec![], "Usage"),
    ] {
        let error = parse_bare(&arguments).unwrap_err();
        assert!(error.to_string().contains(word), "{arguments:?}: {error}");
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
    }
    assert_eq!(parse_bare(&["--help"]).unwrap_err().exit_code(), 0);
    assert_eq!(parse_bare(&["--version"]).unwrap_err().exit_code(), 0);
}

#[test]
fn the_other_commands() {
    assert_eq!(parse_bare(&["check", "--json"]).unwrap(), Command::Check { json: true, pids: Vec::new() });
}

fn replay(arguments: &[&str]) -> ReplayConfig {
    match parse_bare(&[&["replay"], arguments].concat()) {
        Ok(Command::Replay(config)) => *config,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn a_replay_takes_what_is_not_about_live_processes() {
    let config = replay(&["a.pcap"]);
    assert_eq!((config.file.to_str(), config.exports.as_slice()), (Some("a.pcap"), &[Target::Console][..]));
    assert_eq!((config.role, config.log_level), (None, LevelFilter::INFO));
    let config = replay(&[
        "-",
        "--role",
        "both",
        "--sql-text",
        "off",
        "--redis-keys",
        "mask",
        "--logs",
        "off",
        "--service-name",
        "s",
        "--export",
        "file:/x",
        "--routes",
        "off",
        "--log-level",
        "warn",
    ]);
    assert_eq!((config.file.to_str(), config.role), (Some("-"), Some(WantedEnds::Both)));
    assert_eq!((config.pipeline.spans.sql_text, config.pipeline.logs), (SqlText::Off, LogMode::Off));
    assert_eq!((config.service_name.as_deref(), config.log_level), (Some("s"), LevelFilter::WARN));
}

#[test]
fn a_replay_refuses_and_hides_what_is_about_live_processes() {
    for (option, value) in [("--pid", "1"), ("--port", "80"), ("--ring-size", "1M"), ("--record", "x")] {
        let error = parse_bare(&["replay", "a.pcap", option, value]).unwrap_err();
        let expected = format!("{option} is about live processes, and a replay has none: leave it out");
        assert_eq!((error.to_string(), error.exit_code()), (expected, 2));
    }
    let help = parse_bare(&["replay", "--help"]).unwrap_err().to_string();
    assert!(help.contains("--sql-text") && help.contains("--role") && help.contains("--config"), "{help}");
    assert!(
        !help.contains("--pid") && !help.contains("--record-max") && !help.contains("--attach"),
        "{help}"
    );
    // Where they stand for another command they are no mistake.
    let root = Directory::new();
    root.write("c.yaml", "port: [90]\nlogs: off\n");
    let path = root.join("c.yaml");
    assert_eq!(replay(&["a.pcap", "--config", path.to_str().unwrap()]).pipeline.logs, LogMode::Off);
}

#[test]
fn a_recording_has_a_file_and_a_size() {
    assert_eq!(run(&["--port", "80"]).record, None);
    let record = run(&["--port", "80", "--record", "/x", "--record-max", "1M"]).record;
    assert_eq!(record, Some(Record { file: "/x".into(), max: Some(1 << 20) }));
    let sentence =
        "--record-max is the largest size of a recording: say where to write it with --record FILE";
    assert_eq!(refused(&["--port", "80", "--record-max", "1M"]), (sentence.to_owned(), 2));
    let small = refused(&["--port", "80", "--record", "/x", "--record-max", "1K"]);
    assert_eq!(small, ("--record-max must be at least 4 KiB".to_owned(), 2));
}

#[test]
fn arguments_beat_the_file() {
    let root = Directory::new();
    root.write("c.yaml", "port: [90]\nlogs: off\nexport: [otlp]\nservice-name: file\nroute: [/a]\n");
    let path = root.join("c.yaml");
    let path = path.to_str().unwrap();
    let config = run(&["--config", path]);
    assert_eq!((config.selection.ports.as_slice(), config.pipeline.logs), (&[90][..], LogMode::Off));
    assert_eq!(
        (config.exports.as_slice(), config.service_name.as_deref()),
        (&[Target::Otlp][..], Some("file"))
    );
    let config = run(&[
        "--config",
        path,
        "--exe",
        "x",
        "--logs",
        "all",
        "--export",
        "console",
        "--service-name",
        "given",
    ]);
    // Targets are one setting: the file's port is gone.
    assert_eq!(
        (config.selection.ports.len(), config.selection.exes.len(), config.pipeline.logs),
        (0, 1, LogMode::All)
    );
    assert_eq!(
        (config.exports.as_slice(), config.service_name.as_deref()),
        (&[Target::Console][..], Some("given"))
    );
    assert_eq!(config.pipeline.spans.routes.patterns, ["/a".parse().unwrap()]);

    root.write("c.yaml", "port: [90]\nprot: [1]\n");
    let (text, code) = refused(&["--config", path]);
    assert!(text.contains("c.yaml") && text.contains("prot") && text.contains("line 2"), "{text}");
    assert_eq!(code, 2);
    root.write("c.yaml", "port: [0]\n");
    assert_eq!(refused(&["--config", path]).0, "--port 0 is no port to listen on: give 1 to 65535");
}

/// Runs itself with variables set: a process's own cannot be changed safely while threads run.
#[test]
fn variables_stand_between_arguments_and_file() {
    const NAME: &str = "cli::tests::variables_stand_between_arguments_and_file";
    if std::env::var_os("TRACER_TARGET_PORT").is_none() {
        let root = Directory::new();
        root.write("c.yaml", "port: [1]\nlogs: off\nservice-name: file\nhead: 1K\n");
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME]).env("TRACER_TARGET_PORT", "2,3").env("TRACER_LOGS", "correlated");
        child.env("TRACER_SERVICE_NAME", "variable").env("TRACER_CONFIG", root.join("c.yaml"));
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        return;
    }
    let config = run(&["--service-name", "argument"]);
    assert_eq!((config.selection.ports.as_slice(), config.pipeline.logs), (&[2, 3][..], LogMode::Correlated));
    assert_eq!((config.service_name.as_deref(), config.probe.head), (Some("argument"), 1024));
}

#[test]
fn every_option_has_a_variable() {
    let command = Arguments::command();
    let run = command.find_subcommand("run").unwrap();
    for argument in
        run.get_arguments().filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
    {
        let wanted = match argument.get_long().unwrap() {
            "port" => "TRACER_TARGET_PORT".to_owned(),
            long => format!("TRACER_{}", long.to_uppercase().replace('-', "_")),
        };
        assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(wanted.as_str()));
    }
}

#[test]
fn sampling_is_set_by_the_standard_variables() {
    let with = |name: &'static str, value: &'static str| {
        parse_with(&["run", "--port", "80"], &move |asked| (asked == name).then(|| value.to_owned()))
    };
    let Ok(Command::Run(config)) = with("OTEL_TRACES_SAMPLER", "always_on") else { panic!() };
    assert_eq!(config.pipeline.sampler, Sampler::always_on());
    let error = with("OTEL_TRACES_SAMPLER", "sometimes").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(
        error.to_string().starts_with("OTEL_TRACES_SAMPLER is `sometimes`, but must be one of: always_on")
    );
    let Ok(Command::Run(config)) = with("OTEL_PROPAGATORS", "b3,jaeger") else { panic!() };
    assert!(config.pipeline.propagators.warning().is_some_and(|text| text.contains("jaeger")));
}

#[test]
fn traces_that_are_kept() {
    let keep = |arguments: &[&str]| run(&[&["--port", "80"], arguments].concat()).pipeline.keep;
    assert!(!keep(&[]).is_on());
    assert_eq!(keep(&["--keep-errors"]), Keep { errors: true, slower_than: None });
    assert_eq!(keep(&["--keep-errors=false"]), Keep::default());
    assert_eq!(
        keep(&["--keep-slower-than", "1s 500ms", "--keep-errors"]),
        Keep { errors: true, slower_than: Some(1_500_000_000) }
    );
    let (sentence, code) = refused(&["--port", "80", "--keep-slower-than", "5"]);
    assert!(sentence.contains("is not a length of time") && code == 2, "{sentence}");
}

#[test]
fn the_rate_of_log_lines() {
    let rate = |arguments: &[&str]| run(&[&["--port", "80"], arguments].concat()).pipeline.log_rate;
    assert_eq!(rate(&[]).map(std::num::NonZero::get), Some(10_000));
    assert_eq!(rate(&["--log-rate-limit", "5"]).map(std::num::NonZero::get), Some(5));
    assert_eq!(rate(&["--log-rate-limit", "0"]), None);
}
