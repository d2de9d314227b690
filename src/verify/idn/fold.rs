//! What a label looks like at a glance: skeletons of UTS #39 §4, marks and strokes taken off, and
//! what is mistaken for each other in small print made the same.

use std::collections::HashMap;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};
use unicode_security::skeleton;

/// Letters with strokes, hooks and the like, which no table of Unicode takes apart.
const LETTERS: [(char, &str); 26] = [
    ('a', "ɐᴀᶏⱥɑ"),
    ('b', "ƀƃɓʙᵬᶀꞗ"),
    ('c', "ƈȼɕᴄↄꜿꞓꞔ"),
    ('d', "đƌȡɖɗᴅᵭᶁᶑꝺꟈ"),
    ('e', "ǝɇɘɛᴇᶒᶓⱸⱻꬴ"),
    ('f', "ƒᵮᶂꜰꝼꞙ"),
    ('g', "ǥɠɡɢʛᵷᵹᶃꞡꬶ"),
    ('h', "ħɥɦʜʮʯⱨꞕ"),
    ('i', "ıɨɪᴉᶖ"),
    ('j', "ȷɉɟʄʝᴊ"),
    ('k', "ƙʞᴋᶄⱪꝁꝃꝅꞣ"),
    ('l', "łƚȴɫɬɭʟᴌᶅⱡꝉꞁꞎꬷꬸꬹ"),
    ('m', "ɯɰɱᴍᵯᶆꟺꬺ"),
    ('n', "ƞȵɲɳɴᴎᵰᶇꞑꞥꬻ"),
    ('o', "øɔᴏᴑᴓᶗⱺꝋꝍꬿ"),
    ('p', "ƥᴘᵱᵽᶈꝑꝓꝕ"),
    ('q', "ɋʠꝗꝙꞯ"),
    ('r', "ɍɹɺɻɼɽɾɿʀʁᴙᴚᵲᵳᶉⱹꞃꞧꭆꭉꭋꭌꭨ"),
    ('s', "ȿʂᵴᶊẜẝꜱꞅꞩꟊ"),
    ('t', "ŧƫƭȶʇʈᴛᵵⱦꞇ"),
    ('u', "ᴜᴝᶙꞹꭎꭒ"),
    ('v', "ʋʌᴠᶌⱱⱴꝟ"),
    ('w', "ʍᴡⱳ"),
    ('x', "ᶍꭖꭗꭘꭙ"),
    ('y', "ƴɏʎʏỿꭚ"),
    ('z', "ƶȥɀʐʑᴢᵶᶎⱬ"),
];

/// What is mistaken for one letter.
const PAIRS: [(&str, &str); 5] = [("rn", "m"), ("vv", "w"), ("cl", "d"), ("nn", "m"), ("ii", "u")];

/// Folds labels.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    letters: HashMap<char, char>,
}

impl Default for Fold {
    fn default() -> Self {
        let pairs = LETTERS.iter().flat_map(|(to, from)| from.chars().map(|c| (c, *to)));
        Self { letters: pairs.collect() }
    }
}

impl Fold {
    /// What `label`, as it is read, looks like.
    pub(super) fn fold(&self, label: &str) -> String {
        // Plain letters first: skeletons of some would lead away from the letter that is meant.
        let plain: String = label.nfkc().flat_map(char::to_lowercase).collect();
        let plain = self.letters_of(&plain);
        let seen: String = if plain.is_ascii() { plain } else { skeleton(&plain).collect() };
        let seen: String = seen.to_lowercase();
        let seen = self.letters_of(&seen);
        let mut seen: String = seen.chars().map(digit).collect();
        for (from, to) in PAIRS {
            if seen.contains(from) {
                seen = seen.replace(from, to);
            }
        }
        seen
    }

    /// Without marks, strokes and hooks.
    fn letters_of(&self, text: &str) -> String {
        if text.is_ascii() {
            return text.to_owned();
        }
        let bare = text.nfd().filter(|c| !is_combining_mark(*c));
        bare.map(|c| self.letters.get(&c).copied().unwrap_or(c)).collect()
    }
}

/// Digits that are read as letters, and letters that are read as each other.
const fn digit(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | 'i' | '|' => 'l',
        '3' => 'e',
        '5' => 's',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_folds_to_the_same() {
        let fold = Fold::default();
        for (a, b) in [
            ("paypal", "paypaI"),
            ("paypal", "pаypаl"),
            ("paypal", "pаypаí"),
            ("taobao", "ta0ba0"),
            ("microsoft", "rnicrosoft"),
            ("google", "gооgle"),
            ("google", "gøøgłe"),
            ("wikipedia", "vvikipeclia"),
            ("bank", "ʙank"),
            ("icbc", "ıcḇċ"),
        ] {
            assert_eq!(fold.fold(a), fold.fold(b), "{a} {b}");
        }
        assert_ne!(fold.fold("paypal"), fold.fold("papal"));
    }
}
