//! What a feed says about the form of its list.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Manifest, Reason, table::Column};
use crate::{
    name::Name,
    policy::{Action, Legal},
};

/// How one feed's list is to be read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name that RPZ owners are below.
    pub origin: Origin,
    /// What a list says of a rule by not saying it.
    pub legal: Arc<Legal>,
    /// What rules of formats do that name no action.
    pub action: Action,
    /// How text is encoded.
    pub encoding: Encoding,
    /// The longest entry, in bytes; longer ones are rejected.
    pub line_bytes_max: usize,
    /// The longest TTL of local data, in seconds; longer ones are cut.
    pub ttl_max_s: u32,
    /// The TTL of local data in formats that have none, in seconds.
    pub ttl_s: u32,
    /// The longest text of one field beside a rule, in bytes.
    pub field_bytes_max: usize,
    /// The offset from UTC, in seconds, of times that say none.
    pub utc_offset_s: i32,
    /// What a companion of the list says of its rules.
    pub manifest: Option<Arc<Manifest>>,
    /// How tables are read.
    pub table: TableOptions,
    /// The largest workbook, in bytes, packed.
    pub workbook_bytes_max: u64,
    /// The largest workbook, in bytes, unpacked.
    pub workbook_unpacked_bytes_max: u64,
}

/// How CSV files and workbooks are read.
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    /// The field of a rule, and its column: a heading, a number from 1 or a letter. Where there is
    /// none, the headings decide.
    pub columns: Vec<(Column, String)>,
    /// The sheet of a workbook; the first that is visible when empty.
    pub sheet: String,
    /// The row with the headings, from 1; 0 for none; none to be found.
    pub header_row: Option<u32>,
    /// What parts the columns of a CSV file; none to be found.
    pub delimiter: Option<u8>,
}

/// The zone that a list in RPZ form is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The operator said so: nothing in the text changes it.
    Given(Name),
    /// The feed's name, for a text that does not say: an SOA or `$ORIGIN` before the first rule
    /// does.
    Feed(Name),
}

/// How the text of a list is encoded. A byte order mark decides before this does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// UTF-8 or GB18030, whichever more of the first lines are in that are not ASCII.
    #[default]
    Auto,
    /// UTF-8 alone.
    #[serde(rename = "utf-8")]
    Utf8,
    /// GB18030, and so GBK and GB 2312.
    Gb18030,
}

impl Default for Options {
    /// What a feed is read with that says nothing.
    fn default() -> Self {
        Self {
            origin: Origin::Feed(Name::ROOT),
            legal: Arc::default(),
            action: Action::Nxdomain,
            encoding: Encoding::Auto,
            line_bytes_max: 16_384,
            ttl_max_s: 86_400,
            ttl_s: 300,
            field_bytes_max: 4_096,
            utc_offset_s: 0,
            manifest: None,
            table: TableOptions::default(),
            workbook_bytes_max: 64 << 20,
            workbook_unpacked_bytes_max: 1 << 30,
        }
    }
}

impl Encoding {
    /// What [`Encoding::Auto`] is for a list that begins so. A line of GB18030 may look like UTF-8
    /// by chance (two characters of Chinese like two of Armenian), and a damaged line of UTF-8 is
    /// in neither: so the lines vote. It stays as it is where there is nothing to vote about.
    pub(crate) fn settled(self, beginning: &[u8]) -> Self {
        if self != Self::Auto || beginning.is_ascii() {
            return self;
        }
        if beginning.starts_with(b"\xef\xbb\xbf") {
            return Self::Utf8;
        }
        let (mut utf8, mut other) = (0_u32, 0_u32);
        for line in beginning.split(|b| *b == b'\n').filter(|l| !l.is_ascii()) {
            if std::str::from_utf8(line).is_ok() { utf8 += 1 } else { other += 1 }
        }
        if other > utf8 { Self::Gb18030 } else { Self::Utf8 }
    }

    /// The text of an entry.
    ///
    /// # Errors
    /// When its bytes are not text in this encoding.
    pub(crate) fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, Reason> {
        if bytes.is_ascii() || self != Self::Gb18030 {
            if let Ok(text) = std::str::from_utf8(bytes) {
                return Ok(Cow::Borrowed(text));
            }
            if self == Self::Utf8 {
                return Err(Reason::encoding());
            }
        }
        let text = encoding_rs::GB18030.decode_without_bom_handling_and_without_replacement(bytes);
        text.ok_or_else(Reason::encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_both_encodings() {
        let utf8 = "网站".as_bytes();
        let gb = [0xcd, 0xf8, 0xd5, 0xbe];
        assert_eq!(Encoding::Auto.decode(utf8).unwrap(), "网站");
        assert_eq!(Encoding::Auto.decode(&gb).unwrap(), "网站");
        assert_eq!(Encoding::Gb18030.decode(&gb).unwrap(), "网站");
        assert_eq!(Encoding::Utf8.decode(&gb), Err(Reason::encoding()));
        assert_eq!(Encoding::Auto.decode(&[0xff, 0xff]), Err(Reason::encoding()));
        assert_eq!(Encoding::Gb18030.decode(b"plain").unwrap(), "plain");
    }

    #[test]
    fn lines_vote_on_the_encoding() {
        let check = |beginning: &[u8], expected| {
            assert_eq!(Encoding::Auto.settled(beginning), expected, "{beginning:?}");
        };
        check(b"plain\n", Encoding::Auto);
        check("网站\n".as_bytes(), Encoding::Utf8);
        check(b"\xef\xbb\xbf\xcd\xf8\n", Encoding::Utf8);
        // The second line looks like UTF-8 by chance, the third is the same word.
        check(b"\xcd\xf8\xd5\xbe\n\xd5\xa9\xc6\xad\n\xcd\xf8\n", Encoding::Gb18030);
        check(&["网\n站\n".as_bytes(), b"\xff\xff\n"].concat(), Encoding::Utf8);
        assert_eq!(Encoding::Gb18030.settled("网".as_bytes()), Encoding::Gb18030);
    }
}
