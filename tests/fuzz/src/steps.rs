//! Inputs as sequences of steps.
//!
//! An input is text between marks, so that whatever a fuzzer inserts or removes leaves the steps around it as they
//! are: [`MARK`], an operation's byte, and everything up to the next mark as its text. A doubled mark is that byte in
//! the text.

/// Begins a step.
const MARK: u8 = 0xf5;

/// A step: an operation and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) operation: u8,
    pub(crate) text: Vec<u8>,
}

impl Step {
    pub(crate) fn new(operation: u8, text: impl Into<Vec<u8>>) -> Self {
        Self { operation, text: text.into() }
    }

    /// The first bytes of the text as a number, little-endian, and the text after them.
    pub(crate) fn number<const N: usize>(&self) -> (u64, &[u8]) {
        let mut bytes = [0; 8];
        let have = self.text.get(..N).unwrap_or(&self.text);
        for (slot, byte) in bytes.iter_mut().zip(have) {
            *slot = *byte;
        }
        (u64::from_le_bytes(bytes), self.text.get(N..).unwrap_or_default())
    }
}

/// The steps of an input. What comes before the first mark is the text of operation 0.
pub(crate) fn read(input: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut step = Step::new(0, []);
    let mut rest = input.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != MARK {
            step.text.push(byte);
            continue;
        }
        match rest.next() {
            Some(MARK) => step.text.push(MARK),
            Some(operation) => {
                let done = std::mem::replace(&mut step, Step::new(operation, []));
                if !steps.is_empty() || !done.text.is_empty() {
                    steps.push(done);
                }
            }
            None => {}
        }
    }
    if !steps.is_empty() || !step.text.is_empty() || step.operation != 0 {
        steps.push(step);
    }
    steps
}

/// An input of these steps.
pub(crate) fn write(steps: &[Step]) -> Vec<u8> {
    let mut input = Vec::new();
    for step in steps {
        input.extend([MARK, step.operation]);
        for &byte in &step.text {
            input.push(byte);
            if byte == MARK {
                input.push(MARK);
            }
        }
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let steps = [Step::new(1, *b"a\xf5b"), Step::new(0, *b""), Step::new(7, *b"\xf5")];
        assert_eq!(read(&write(&steps)), steps);
        assert_eq!(read(b"plain"), [Step::new(0, *b"plain")]);
        assert_eq!(read(b""), []);
        assert_eq!(Step::new(0, [1, 2, 3]).number::<2>(), (0x201, &[3][..]));
    }
}
