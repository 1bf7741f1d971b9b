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

/// Selectors that Kubernetes' own parser takes or refuses (`k8s.io/apimachinery/pkg/labels`), and what it makes of
/// them.
#[test]
fn kubernetes_own_parser_agrees() {
    let in_ = |key: &str, values: &[&str]| (key.to_owned(), Test::In(own(values)));
    let not_in = |key: &str, values: &[&str]| (key.to_owned(), Test::NotIn(own(values)));
    let is = |key: &str, test: Test| (key.to_owned(), test);
    fn own(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }
    let taken = [
        ("x=a,y=b,z=c", vec![in_("x", &["a"]), in_("y", &["b"]), in_("z", &["c"])]),
        ("x==a", vec![in_("x", &["a"])]),
        ("x!=a,y=b", vec![not_in("x", &["a"]), in_("y", &["b"])]),
        ("x=", vec![in_("x", &[""])]),
        ("x= ,z= ", vec![in_("x", &[""]), in_("z", &[""])]),
        ("!x", vec![is("x", Test::Absent)]),
        (
            "this-is-a-dns.domain.com/key-with-dash",
            vec![is("this-is-a-dns.domain.com/key-with-dash", Test::Exists)],
        ),
        (
            "this-is-another-dns.domain.com/key-with-dash in (so,what)",
            vec![in_("this-is-another-dns.domain.com/key-with-dash", &["so", "what"])],
        ),
        (
            "0.1.2.domain/99 notin (10.10.100.1, tick.tack.clock)",
            vec![not_in("0.1.2.domain/99", &["10.10.100.1", "tick.tack.clock"])],
        ),
        ("foo  in\t (abc)", vec![in_("foo", &["abc"])]),
        ("x notin\n (abc)", vec![not_in("x", &["abc"])]),
        ("x in (abc,)", vec![in_("x", &["abc", ""])]),
        ("x in ()", vec![in_("x", &[""])]),
        (
            "x notin (abc,,def),bar,z in (),w",
            vec![
                not_in("x", &["abc", "", "def"]),
                is("bar", Test::Exists),
                in_("z", &[""]),
                is("w", Test::Exists),
            ],
        ),
        ("x,y in (a)", vec![is("x", Test::Exists), in_("y", &["a"])]),
        ("x>1,z <5", vec![is("x", Test::Above(1)), is("z", Test::Below(5))]),
        ("notin=in", vec![in_("notin", &["in"])]),
    ];
    for (text, wanted) in taken {
        let parsed = text.parse::<Selector>().unwrap_or_else(|error| panic!("{text}: {error}"));
        let found: Vec<_> = parsed.requirements.into_iter().map(|one| (one.key, one.test)).collect();
        assert_eq!(found, wanted, "{text}");
    }
    for text in [
        "x=a||y=b",
        "x==a==b",
        "!x=a",
        "x<a",
        "x=,,y=b",
        "foo notin (bar)baz",
        "x in (abc,def",
        "x in abc)",
        "x in",
        "x>",
        "x in (a b)",
        "x,",
        "(x)",
        "!",
        "x!",
        "x=(a)",
        "a/b/c=d",
        "x=a;b",
    ] {
        assert!(text.parse::<Selector>().is_err(), "{text}");
    }
}

proptest::proptest! {
    /// `!=` and `notin` are the opposite of `=` and `in`, whatever the labels.
    #[test]
    fn opposites(value in "[a-c]{0,2}", label in proptest::option::of("[a-c]{0,2}")) {
        let labels: BTreeMap<_, _> = label.into_iter().map(|label| ("k".to_owned(), label)).collect();
        let holds = |text: &str| text.parse::<Selector>().unwrap().matches(&labels);
        proptest::prop_assert_ne!(holds(&format!("k={value}")), holds(&format!("k!={value}")));
        proptest::prop_assert_ne!(holds(&format!("k in (a,{value})")), holds(&format!("k notin (a,{value})")));
        proptest::prop_assert_ne!(holds("k"), holds("!k"));
        proptest::prop_assert_eq!(holds(&format!("k in ({value})")), holds(&format!(" k == {value} ")));
    }

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
