//! Every target over its seeds, its corpus, and every beginning of these: what `cargo xtask fuzz` found once stays
//! found.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::{fs, panic};

use fuzz::{TARGETS, Target, memory};

#[global_allocator]
static COUNTING: memory::Counting = memory::Counting;

/// Beginnings of one input that are tried.
const BEGINNINGS: usize = 16;

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let Ok(entries) = fs::read_dir(&directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn over_its_corpus(name: &str) {
    let target = fuzz::target(name).unwrap();
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty());
    for input in seeds.iter().chain(&corpus(target)) {
        let stride = (input.len() / BEGINNINGS).max(1);
        for end in (0..input.len()).step_by(stride).chain([input.len()]) {
            let beginning = &input[..end];
            if let Err(panic) = panic::catch_unwind(|| (target.run)(beginning)) {
                eprintln!("{name}: broken by {:?}", String::from_utf8_lossy(beginning));
                panic::resume_unwind(panic);
            }
        }
    }
}

macro_rules! each {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            over_its_corpus(stringify!($name));
        })*

        #[test]
        fn no_target_is_left_out() {
            let tested = [$(stringify!($name)),*];
            assert!(TARGETS.iter().all(|target| tested.contains(&target.name)));
            assert_eq!(tested.len(), TARGETS.len());
        }
    };
}

each!(http, mysql, redis, pipeline, records, sql, lines, trace, capture, recording);

/// The meter would be no bound if nothing were counted.
#[test]
fn memory_is_metered() {
    let meter = memory::Meter::default();
    let mut held = vec![0_u8; 1 << 20];
    assert!(meter.held() >= 1 << 20);
    held.reserve_exact(3 << 20);
    assert!(meter.held() >= 3 << 20);
    drop(held);
    assert_eq!(meter.held(), 0);
}

#[test]
#[should_panic = "bytes are held, of at most 1000"]
fn too_much_memory_is_a_failure() {
    let meter = memory::Meter::default();
    let _held = vec![0_u8; 1 << 20];
    meter.check(1000);
}
