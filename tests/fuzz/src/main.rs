//! What libFuzzer drives: `FUZZ_TARGET` names the target. With `FUZZ_SEEDS` set to a directory it writes the seeds there
//! instead.

#![no_main]

use std::path::Path;
use std::sync::OnceLock;
use std::{env, fs, process};

use fuzz::{Target, memory};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static COUNTING: memory::Counting = memory::Counting;

fuzz_target!(init: { chosen(); }, |input: &[u8]| (chosen().run)(input));

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = env::var("FUZZ_TARGET").unwrap_or_default();
        let Some(target) = fuzz::target(&name) else {
            eprintln!("fuzz: FUZZ_TARGET names no target: {name:?}");
            process::exit(2);
        };
        if let Some(directory) = env::var_os("FUZZ_SEEDS") {
            process::exit(write_seeds(target, Path::new(&directory)));
        }
        target
    })
}

fn write_seeds(target: &Target, directory: &Path) -> i32 {
    for (number, seed) in (target.seeds)().iter().enumerate() {
        if let Err(error) = fs::write(directory.join(format!("seed-{number:02}")), seed) {
            eprintln!("fuzz: cannot write to {}: {error}", directory.display());
            return 1;
        }
    }
    0
}
