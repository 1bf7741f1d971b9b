//! The agent's command line.

use tracer::agent::{RunOptions, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(std::env::var("TRACER_LOG").unwrap_or("info".into())).init();
    let args: Vec<String> = std::env::args().collect();
    let mut o = RunOptions { selection: Default::default(), service_name: None, probe: Default::default(), pipeline: Default::default(), exports: vec![], variables: std::env::vars().collect() };
    let mut i = 2;
    while i + 1 < args.len() {
        let v = args[i + 1].clone();
        match args[i].as_str() {
            "--pid" => o.selection.pids.push(v.parse().unwrap()),
            "--cgroup" => o.selection.cgroups.push(v.into()),
            "--port" => o.selection.ports.push(v.parse().unwrap()),
            "--export" => o.exports.push(v.parse().unwrap()),
            "--service-name" => o.service_name = Some(v),
            "--attach" => o.probe.attach = if v == "fexit" { tracer::probe::AttachMode::Fexit } else { Default::default() },
            _ => panic!(),
        }
        i += 2;
    }
    if o.exports.is_empty() { o.exports.push(tracer::export::Target::Console); }
    match run(o).await { Ok(()) => std::process::ExitCode::SUCCESS, Err(e) => { eprintln!("tracer: {e}"); std::process::ExitCode::FAILURE } }
}
