use super::*;

fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    selector.parse::<Selector>().unwrap().matches(&labels)
}

fn error(selector: &str) -> (usize, SelectorProblem) {
    let error = selector.parse::<Selector>().unwrap_err();
    (error.position, error.problem)
}

#[test]
fn every_operator() {
    let labels = [("app", "x"), ("tier", "a"), ("empty", ""), ("n", "7"), ("example.com/in", "in")];
    let holding = [
        "app=x",
        "app==x",
        " app = x ",
        "app!=y",
        "none!=y",
        "tier in (a,b)",
        "tier in(b , a)",
        "tier notin (c)",
        "none notin (a)",
        "app",
        "!none",
        "! none",
        "empty=",
        "empty=,app=x",
        "empty in (,q)",
        "n>6",
        "n < 8",
        "example.com/in in (in)",
        "example.com/in=in",
        "app=x,tier in (a,b),!none,n",
    ];
    for selector in holding {
        assert!(matches(selector, &labels), "{selector}");
    }
    let failing = [
        "app=y",
        "app!=x",
        "tier in (c)",
        "tier notin (a)",
        "none",
        "!app",
        "none=",
        "none in (a)",
        "n>7",
        "n<7",
        "app>1",
        "none>1",
        "app=x,tier=b",
    ];
    for selector in failing {
        assert!(!matches(selector, &labels), "{selector}");
    }
    assert!(matches("in=notin,notin in (in)", &[("in", "notin"), ("notin", "in")]));
}

#[test]
fn errors_show_the_place() {
    let unexpected = |selector: &str| match error(selector) {
        (position, SelectorProblem::Unexpected { .. }) => position,
        other => panic!("{selector}: {other:?}"),
    };
    for (selector, position) in [
        ("app=x,", 7),
        (",app", 1),
        ("app x", 5),
        ("a=b=c", 4),
        ("a in b", 6),
        ("a in (b", 8),
        ("a in (b c)", 9),
        ("!a=b", 3),
        ("!", 2),
        ("a=!b", 3),
        ("a,,b", 3),
        ("a in (b))", 9),
        ("(a)", 1),
        ("a>", 3),
        ("ä=b,", 1),
    ] {
        if selector.starts_with('ä') {
            assert_eq!(error(selector), (1, SelectorProblem::Key("ä".into())));
        } else {
            assert_eq!(unexpected(selector), position, "{selector}");
        }
    }
    assert_eq!(error("a in ()"), (7, SelectorProblem::NoValues));
    assert_eq!(error("a > b"), (5, SelectorProblem::Integer("b".into())));
    assert_eq!(error("a=ä,b=-"), (3, SelectorProblem::Value("ä".into())));
    assert_eq!(error("  "), (3, SelectorProblem::Empty));
    assert_eq!(
        "app x".parse::<Selector>().unwrap_err().to_string(),
        "expected '=', '==', '!=', 'in', 'notin', '>', '<', ',' or the end, found 'x' at character 5"
    );
}

#[test]
fn keys_and_values_have_rules() {
    let long = |length| "a".repeat(length);
    for key in [
        "a",
        "A.b_c-9",
        "example.com/a",
        "a-b.c/x",
        &long(63),
        &format!("{}/{}", "a.".repeat(126) + "a", long(63)),
    ] {
        assert!(is_key(key), "{key}");
    }
    for key in [
        "-a",
        "a-",
        "a/b/c",
        "/a",
        "a/",
        "A.com/x",
        "a..b/x",
        "-a.com/x",
        "a_b/x",
        "a b",
        "",
        &long(64),
        &format!("{}/a", long(254)),
    ] {
        assert!(!is_key(key), "{key}");
    }
    assert!(format!("a={}", long(63)).parse::<Selector>().is_ok());
    assert!(matches!(error(&format!("a={}", long(64))), (3, SelectorProblem::Value(_))));
    assert!(matches!(error("a=.b"), (3, SelectorProblem::Value(_))));
}

proptest::proptest! {
    #[test]
    fn never_panics(text in "\\PC*") {
        let _ = text.parse::<Selector>();
    }

    #[test]
    fn never_panics_near_the_grammar(text in "[a!=(),<> inot]{0,24}") {
        if let Err(error) = text.parse::<Selector>() {
            proptest::prop_assert!(error.position <= text.chars().count() + 1);
        }
    }
}
