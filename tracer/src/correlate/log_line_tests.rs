use proptest::prelude::*;

use super::*;

macro_rules! marks {
    ($($mark:ty),*) => {
        $(impl WriteMark for $mark {
            fn goes_with(&self, _: &Self) -> bool {
                true
            }
        })*
    };
}

marks!((), usize, u32);

fn key(tid: u32) -> LogKey {
    LogKey { thread: ThreadId { tgid: 1, tid, start: 0 }, dev: 1, ino: 2 }
}

/// Writes on thread 1, marked 0, 1, 2 …; what comes out as (text, mark, own).
fn run(writes: &[&str]) -> Vec<(String, usize, bool)> {
    let mut lines = LogLines::default();
    let mut out = Vec::new();
    for (mark, text) in writes.iter().enumerate() {
        lines.write(key(1), LogWrite { bytes: text.as_bytes(), missing: 0 }, &mark, 0, &mut out);
    }
    assert!(lines.pending() <= 1);
    lines.flush(&mut out);
    out.into_iter().map(|line| (line.text, line.mark, line.own)).collect()
}

fn line(text: &str, mark: usize, own: bool) -> (String, usize, bool) {
    (text.to_owned(), mark, own)
}

#[test]
fn text_and_newline_apart() {
    assert_eq!(
        run(&["hello", "\n", "there", " you", "\n"]),
        [line("hello", 0, true), line("there you", 2, true)]
    );
    assert_eq!(run(&["crlf\r\n"]), [line("crlf", 0, true)]);
    assert_eq!(run(&["\n", " \n"]), []);
}

#[test]
fn only_the_last_of_several_is_the_writers() {
    assert_eq!(run(&["a\nb\nc\n"]), [line("a", 0, false), line("b", 0, false), line("c", 0, true)]);
    // The line that filled the buffer is the writer's, and none before it.
    assert_eq!(
        run(&["a\nb\nc1", "c2\nd\ne\n"]),
        [
            line("a", 0, false),
            line("b", 0, false),
            line("c1c2", 0, true),
            line("d", 1, false),
            line("e", 1, true)
        ]
    );
}

#[test]
fn a_full_buffer_holds_nothing_of_its_writers() {
    let lines = "an older line\n".repeat(300);
    assert!(lines.len() as u64 >= FULL_BUFFER);
    assert!(run(&[&lines]).iter().all(|(_, _, own)| !own));
    let begun = format!("{lines}begun");
    assert!(run(&[&begun, " and ended\n"]).iter().all(|(_, _, own)| !own));
    let long = "x".repeat(5_000);
    assert_eq!(run(&[&format!("{long}\n")]), [line(&long, 0, true)], "one record is a write of its own");
}

#[test]
fn a_record_of_several_lines_is_one() {
    let traceback = "ERROR:a:b\nTraceback (most recent call last):\n  File x\nKeyError: 'k'";
    assert_eq!(run(&[traceback, "\n"]), [line(traceback, 0, true)]);
    assert_eq!(run(&[&format!("old\n{traceback}\n")]), [line("old", 0, false), line(traceback, 0, true)]);
}

#[test]
fn a_traceback_that_comes_line_by_line_is_one_record() {
    let lines = [
        "before\n",
        "Traceback (most recent call last):\n",
        "  File \"a.py\", line 1, in <module>\n",
        "    f",
        "()\n",
        "ValueError: x\n",
        "\n",
        "During handling of the above exception, another exception occurred:\n",
        "\n",
        "Traceback (most recent call last):\n",
        "  File \"a.py\", line 3, in <module>\n",
        "KeyError: 'y'\n",
        "after\n",
    ];
    let traceback = lines[1..12].concat();
    let expected = [line("before", 0, true), line(traceback.trim_end(), 1, true), line("after", 12, true)];
    assert_eq!(run(&lines), expected);
    let java = ["java.lang.X: y\n", "\tat a.b(C.java:1)\n", "Caused by: z\n", "\t... 2 more\n"];
    assert_eq!(run(&java), [line(java.concat().trim_end(), 0, true)]);
    assert_eq!(run(&["INFO:root:a\n", "plain\n"]), [line("INFO:root:a", 0, true), line("plain", 1, true)]);
}

#[test]
fn a_line_goes_on_only_with_what_was_active() {
    #[derive(Clone)]
    struct Active(u8);
    impl WriteMark for Active {
        fn goes_with(&self, later: &Self) -> bool {
            self.0 == later.0
        }
    }
    let mut lines = LogLines::default();
    let mut out = Vec::new();
    for (active, text) in [(1, "one\n"), (1, "  of one\n"), (2, "  of two\n")] {
        lines.write(key(1), LogWrite { bytes: text.as_bytes(), missing: 0 }, &Active(active), 0, &mut out);
    }
    lines.flush(&mut out);
    let texts: Vec<_> = out.iter().map(|line| (line.text.as_str(), line.mark.0)).collect();
    assert_eq!(texts, [("one\n  of one", 1), ("  of two", 2)]);
}

#[test]
fn a_complete_record_does_not_wait_long() {
    let mut lines = LogLines::default();
    let mut out = Vec::new();
    lines.write(key(1), LogWrite { bytes: b"a\n", missing: 0 }, &(), 0, &mut out);
    lines.write(key(1), LogWrite { bytes: b"  b\n", missing: 0 }, &(), HOLD - 1, &mut out);
    lines.expire(2 * HOLD - 2, &mut out);
    assert!(out.is_empty());
    lines.expire(2 * HOLD, &mut out);
    assert_eq!((out.len(), out[0].text.as_str(), lines.pending()), (1, "a\n  b", 0));
}

#[test]
fn threads_and_files_do_not_mix() {
    let mut lines = LogLines::default();
    let mut out = Vec::new();
    let other_file = LogKey { ino: 3, ..key(1) };
    for (key, text) in [(key(1), "one "), (key(2), "two\n"), (other_file, "err\n"), (key(1), "end\n")] {
        lines.write(key, LogWrite { bytes: text.as_bytes(), missing: 0 }, &key.thread.tid, 0, &mut out);
    }
    lines.flush(&mut out);
    let texts: Vec<_> = out.iter().map(|line| (line.text.as_str(), line.mark)).collect();
    assert_eq!(texts, [("two", 2), ("err", 1), ("one end", 1)]);
}

fn cut(writes: &[(&str, u64)]) -> Vec<(String, bool, bool)> {
    let mut lines = LogLines::default();
    let mut out = Vec::new();
    for (text, missing) in writes {
        lines.write(key(1), LogWrite { bytes: text.as_bytes(), missing: *missing }, &(), 0, &mut out);
    }
    lines.flush(&mut out);
    out.into_iter().map(|line| (line.text, line.own, line.cut)).collect()
}

#[test]
fn what_was_not_captured_cuts_the_line() {
    assert_eq!(
        cut(&[("long", 9), ("next\n", 0)]),
        [("long".into(), true, true), ("next".into(), true, false)]
    );
    assert_eq!(cut(&[("a\nlong", 9)]), [("a".into(), false, false), ("long".into(), false, true)]);
    assert_eq!(cut(&[("a\n", 9)]), [("a".into(), false, false)]);
    assert_eq!(cut(&[("held ", 0), ("more", 9)]), [("held more".into(), true, true)]);
    assert_eq!(
        cut(&[("held ", 0), ("end\nx", 9)]),
        [("held end".into(), true, false), ("x".into(), false, true)]
    );
    assert_eq!(cut(&[("held", 0), ("", 9)]), [("held".into(), true, true)]);
}

#[test]
fn a_line_without_end_is_bounded() {
    let mut lines = LogLines::default();
    let mut out = Vec::new();
    let chunk = vec![b'x'; 50_000];
    for now in 0..100 {
        lines.write(key(1), LogWrite { bytes: &chunk, missing: 0 }, &now, now, &mut out);
        lines.expire(now, &mut out);
    }
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].text.len(), out[0].mark, out[0].cut), (MAX_RECORD, 0, true));
    lines.write(key(1), LogWrite { bytes: b"xx\nnext\n", missing: 0 }, &200, 200, &mut out);
    lines.flush(&mut out);
    assert_eq!(out.len(), 2);
    assert_eq!(out[1].text, "next");
}

#[test]
fn the_number_of_open_lines_is_bounded() {
    let mut lines = LogLines::default();
    let mut out = Vec::new();
    let threads = u32::try_from(MAX_OPEN.get()).unwrap() + 10;
    for tid in 0..threads {
        lines.write(key(tid), LogWrite { bytes: b"x", missing: 0 }, &tid, 0, &mut out);
    }
    assert_eq!(lines.pending(), MAX_OPEN.get());
    assert_eq!(out.iter().map(|line| line.mark).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    lines.flush(&mut out);
    assert_eq!(out.len(), threads as usize);
}

#[test]
fn a_prompt_comes_out_in_time() {
    let mut lines = LogLines::default();
    let mut out = Vec::new();
    lines.write(key(1), LogWrite { bytes: b"name: ", missing: 0 }, &(), 5, &mut out);
    lines.expire(5 + MAX_WAIT - 1, &mut out);
    assert!(out.is_empty());
    lines.expire(5 + MAX_WAIT, &mut out);
    assert_eq!(out, [LogLine { text: "name: ".into(), mark: (), own: true, cut: false }]);
}

#[test]
fn invalid_utf8_is_replaced() {
    let mut lines = LogLines::default();
    let mut out = Vec::new();
    for bytes in [&b"a\xff\xc3"[..], &b"\xa4\n"[..]] {
        lines.write(key(1), LogWrite { bytes, missing: 0 }, &(), 0, &mut out);
    }
    lines.flush(&mut out);
    // A character that lies across two writes is whole again.
    assert_eq!(out[0].text, "a\u{fffd}ä");
}

proptest! {
    /// However lines without continuation are cut into writes, the same lines come out.
    #[test]
    fn any_segmentation_gives_the_same_lines(
        texts in prop::collection::vec("[a-z]{1,12}", 1..20),
        cuts in prop::collection::vec(0usize..400, 0..20),
    ) {
        let text = texts.iter().map(|line| format!("{line}\n")).collect::<String>();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let writes: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let out = run(&writes);
        prop_assert_eq!(out.iter().map(|(text, ..)| text.clone()).collect::<Vec<_>>(), texts);
        // At most one line that began in a write is the writer's.
        let mut owned: Vec<usize> = out.iter().filter(|(_, _, own)| *own).map(|(_, mark, _)| *mark).collect();
        let count = owned.len();
        owned.dedup();
        prop_assert_eq!(owned.len(), count);
    }

    #[test]
    fn never_panics(writes in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), 0u64..3, 0u32..3), 0..30)) {
        let mut lines = LogLines::default();
        let mut out = Vec::new();
        for (now, (bytes, missing, tid)) in (0u64..).zip(&writes) {
            lines.write(key(*tid), LogWrite { bytes, missing: *missing }, &(), now * MAX_WAIT / 3, &mut out);
            lines.expire(now * MAX_WAIT / 3, &mut out);
        }
        lines.flush(&mut out);
        prop_assert_eq!(lines.pending(), 0);
        prop_assert!(out.iter().all(|line| !line.text.trim_matches(|c: char| c.is_ascii_whitespace()).is_empty()));
    }
}
