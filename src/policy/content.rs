//! What content a name may be listed for: the nine classes of the Measures for the Administration of
//! Internet Domain Names (MIIT Order 43 of 2017), article 28, as a vocabulary.

/// One class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentClass {
    /// Its number in the article, from 1.
    pub number: u8,
    /// The word for it in lists, records and reports.
    pub code: &'static str,
    /// What it is, in Chinese.
    pub chinese: &'static str,
    /// What it is, in English.
    pub english: &'static str,
}

const fn class(
    number: u8,
    code: &'static str,
    chinese: &'static str,
    english: &'static str,
) -> ContentClass {
    ContentClass { number, code, chinese, english }
}

/// Every class, in the order of the article.
pub const CONTENT_CLASSES: &[ContentClass] = &[
    class(1, "constitution", "反对宪法基本原则", "against the principles of the constitution"),
    class(2, "state-security", "危害国家安全、泄露国家秘密", "endangers state security or secrets"),
    class(3, "state-interest", "损害国家荣誉和利益", "harms the honour and interests of the state"),
    class(4, "ethnic-hatred", "煽动民族仇恨、民族歧视", "incites ethnic hatred or discrimination"),
    class(5, "cult", "宣扬邪教和封建迷信", "spreads cults or superstition"),
    class(6, "rumour", "散布谣言，扰乱社会秩序", "spreads rumours that disturb public order"),
    class(
        7,
        "vice-or-crime",
        "淫秽、赌博、暴力、恐怖或教唆犯罪",
        "obscenity, gambling, violence, terror, crime",
    ),
    class(
        8,
        "infringement",
        "侮辱或诽谤他人，侵害他人权益",
        "insults, slander, the rights of others",
    ),
    class(9, "other", "法律、行政法规禁止的其他内容", "whatever else laws and regulations forbid"),
];

impl ContentClass {
    /// The class of this code or number.
    pub fn find(text: &str) -> Option<&'static Self> {
        CONTENT_CLASSES.iter().find(|c| c.code == text || c.number.to_string() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_found_by_code_and_number() {
        assert_eq!(ContentClass::find("5").map(|c| c.code), Some("cult"));
        assert_eq!(ContentClass::find("cult").map(|c| c.number), Some(5));
        assert_eq!(ContentClass::find("10"), None);
        assert!(CONTENT_CLASSES.iter().enumerate().all(|(i, c)| usize::from(c.number) == i + 1));
    }
}
