//! scratch
fn main() {
    let mut options = tracer::probe::ProbeOptions::default();
    if std::env::args().nth(2).as_deref() == Some("fexit") {
        options.attach = tracer::probe::AttachMode::Fexit;
    }
    let t = std::time::Instant::now();
    let (mut probe, mut ring) = match tracer::probe::Probe::load(&options) {
        Ok(p) => p,
        Err(e) => {
            println!("ERR {e}");
            return;
        }
    };
    println!("loaded in {:?}: {:?}", t.elapsed(), probe.verified_instructions());
    let pid: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    probe.select_process(pid).unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(8);
    while std::time::Instant::now() < end {
        while let Some(r) = ring.next() {
            let kind = u16::from_ne_bytes([r[0], r[1]]);
            let flags = u16::from_ne_bytes([r[2], r[3]]);
            let w = |o: usize| u64::from_ne_bytes(r[o..o + 8].try_into().unwrap());
            let d = |o: usize| u32::from_ne_bytes(r[o..o + 4].try_into().unwrap());
            if kind <= 2 {
                let n = d(84).min(60) as usize;
                println!(
                    "kind {kind} flags {flags:x} tid {} wait {} mux {} sock {:x} ino {} pos {} len {} head {} tail {}@{} errno {} dir {} | {:?}",
                    d(20),
                    d(48),
                    d(52),
                    w(56),
                    w(64),
                    w(72),
                    d(80),
                    d(84),
                    d(88),
                    d(92),
                    d(96) & 0xffff,
                    r[98],
                    String::from_utf8_lossy(&r[104..104 + n])
                );
            } else {
                println!("kind {kind} flags {flags:x} tgid {} {:?}", d(16), &r[56..r.len().min(144)]);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    println!("{:?}", probe.losses());
}
