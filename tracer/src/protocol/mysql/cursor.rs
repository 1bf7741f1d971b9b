//! Reads a packet's fields without ever reading past its end.

/// What is left of a packet. Every read gives `None` when the bytes do not suffice: packets may be cut.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Fixed-length integer of up to eight bytes, least significant first.
    fn int(&mut self, count: usize) -> Option<u64> {
        Some(self.take(count)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.int(1).and_then(|value| u8::try_from(value).ok())
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.int(2).and_then(|value| u16::try_from(value).ok())
    }

    pub(super) fn u24(&mut self) -> Option<u32> {
        self.int(3).and_then(|value| u32::try_from(value).ok())
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.int(4).and_then(|value| u32::try_from(value).ok())
    }

    /// Length-encoded integer: 0xfb (NULL) and 0xff (an error) are none.
    /// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_dt_integers.html>
    pub(super) fn lenenc(&mut self) -> Option<u64> {
        match self.u8()? {
            0xfb | 0xff => None,
            0xfc => self.int(2),
            0xfd => self.int(3),
            0xfe => self.int(8),
            small => Some(u64::from(small)),
        }
    }

    /// Length-encoded string.
    pub(super) fn lenenc_bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.lenenc()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// Bytes up to a NUL, which is consumed too.
    pub(super) fn until_nul(&mut self) -> Option<&'a [u8]> {
        let length = memchr::memchr(0, self.0)?;
        let text = self.take(length)?;
        self.take(1)?;
        Some(text)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn reads_length_encoded_integers() {
        let mut cursor = Cursor::new(&[0xfa, 0xfc, 1, 2, 0xfd, 1, 2, 3, 0xfe, 1, 0, 0, 0, 0, 0, 0, 0, 0xfb]);
        assert_eq!(cursor.lenenc(), Some(0xfa));
        assert_eq!(cursor.lenenc(), Some(0x0201));
        assert_eq!(cursor.lenenc(), Some(0x0003_0201));
        assert_eq!(cursor.lenenc(), Some(1));
        assert_eq!(cursor.lenenc(), None);
    }

    #[test]
    fn never_reads_past_the_end() {
        assert_eq!(Cursor::new(&[1, 2, 3]).u32(), None);
        assert_eq!(Cursor::new(&[0xfc, 1]).lenenc(), None);
        assert_eq!(Cursor::new(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).lenenc_bytes(), None);
        assert_eq!(Cursor::new(b"abc").until_nul(), None);
    }
}
