//! `OTEL_RESOURCE_ATTRIBUTES`, as the OpenTelemetry specification defines it (resource SDK, "Specifying resource
//! information via an environment variable"): `key1=value1,key2=value2`, percent-encoded.

/// Most attributes taken: the specification's default limit on attributes.
const MAX_ATTRIBUTES: usize = 128;

/// Most bytes of one value: they are sent with every request.
const MAX_VALUE: usize = 4096;

/// Why the variable's value is of no use. The specification wants the whole of it discarded then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributesError {
    /// An element without `=`, or with nothing before it.
    #[error("OTEL_RESOURCE_ATTRIBUTES: element {0} is not key=value")]
    NotAPair(usize),
    /// `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("OTEL_RESOURCE_ATTRIBUTES: element {0} is not percent-encoded UTF-8")]
    Encoding(usize),
}

/// The attributes in the value of `OTEL_RESOURCE_ATTRIBUTES`. A later element with the same key wins. Blanks
/// around elements, and empty elements, are ignored.
///
/// # Errors
/// [`AttributesError`], with the number of the element, counted from 1.
pub fn resource_attributes(value: &str) -> Result<Vec<(String, String)>, AttributesError> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    for (index, element) in value.split(',').enumerate() {
        if element.trim().is_empty() {
            continue;
        }
        let number = index + 1;
        let (key, value) = element.split_once('=').ok_or(AttributesError::NotAPair(number))?;
        let key = percent_decode(key.trim()).ok_or(AttributesError::Encoding(number))?;
        let mut value = percent_decode(value.trim()).ok_or(AttributesError::Encoding(number))?;
        if key.is_empty() {
            return Err(AttributesError::NotAPair(number));
        }
        value.truncate(value.floor_char_boundary(MAX_VALUE));
        if let Some(attribute) = attributes.iter_mut().find(|(known, _)| *known == key) {
            attribute.1 = value;
        } else if attributes.len() < MAX_ATTRIBUTES {
            attributes.push((key, value));
        }
    }
    Ok(attributes)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            decoded.push(hex(bytes.next()?)? << 4 | hex(bytes.next()?)?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(value: &str) -> Vec<(String, String)> {
        resource_attributes(value).unwrap()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn decodes_values() {
        assert_eq!(
            pairs(" team=pay%20me , k=a%2Cb%3Dc,u=%C3%A4,plus=a+b,eq=a=b,"),
            [
                pair("team", "pay me"),
                pair("k", "a,b=c"),
                pair("u", "ä"),
                pair("plus", "a+b"),
                pair("eq", "a=b")
            ]
        );
        assert!(pairs("").is_empty());
    }

    #[test]
    fn one_bad_element_discards_all() {
        assert_eq!(resource_attributes("a=1,b"), Err(AttributesError::NotAPair(2)));
        assert_eq!(resource_attributes("=1"), Err(AttributesError::NotAPair(1)));
        assert_eq!(resource_attributes("a=1,b=%4"), Err(AttributesError::Encoding(2)));
        assert_eq!(resource_attributes("a=%zz"), Err(AttributesError::Encoding(1)));
        assert_eq!(resource_attributes("a=%ff"), Err(AttributesError::Encoding(1)));
    }

    #[test]
    fn is_bounded() {
        let many: String = (0..1000).map(|number| format!("k{number}=v,")).collect();
        assert_eq!(pairs(&many).len(), MAX_ATTRIBUTES);
        let long = format!("k={}", "ä".repeat(MAX_VALUE));
        assert_eq!(pairs(&long)[0].1.len(), MAX_VALUE);
        assert_eq!(pairs("a=1,a=2"), [pair("a", "2")]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(value in "\\PC*") {
            let _ = resource_attributes(&value);
        }
    }
}
