//! What a character code or a glyph's name stands for, where a font has no Unicode table of its own.
//!
//! Codes as in PDF 32000-1 annex D (Latin character sets) and D.5 (Symbol); names as in Adobe's glyph list, of which the
//! Latin, Greek and typographic part is here. A name that is not here may still spell its code (`uni20AC`, `u1F600`).

/// 0x80 to 0x9F of Windows-1252; the five that are undefined are bullets, as annex D says.
const WIN_HIGH: [char; 32] = [
    '€', '•', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '•', 'Ž', '•', '•', '‘', '’', '“', '”', '•', '–',
    '—', '˜', '™', 'š', '›', 'œ', '•', 'ž', 'Ÿ',
];

/// 0x80 to 0xFF of Mac OS Roman.
const MAC_HIGH: &str = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ";

/// 0xA0 to 0xFF of Adobe's standard encoding; a space is a hole.
const STANDARD_HIGH: &str =
    " ¡¢£⁄¥ƒ§¤'“«‹›ﬁﬂ –†‡· ¶•‚„”»…‰ ¿ `´ˆ˜¯˘˙¨ ˚¸ ˝˛ˇ—                Æ ª    ŁØŒº     æ   ı  łøœß    ";

/// The letters of the Symbol font, `A` to `Z` and `a` to `z`.
const SYMBOL_UPPER: &str = "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ";
const SYMBOL_LOWER: &str = "αβχδεφγηιϕκλμνοπθρστυϖωξψζ";

/// What codes mean before a font's own differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    Standard,
    Win,
    Mac,
    Symbol,
    /// Pictures: no code has a meaning.
    Dingbats,
}

impl Base {
    /// By the name a font gives.
    pub fn named(name: &[u8]) -> Option<Base> {
        match name {
            b"WinAnsiEncoding" => Some(Base::Win),
            b"MacRomanEncoding" => Some(Base::Mac),
            b"StandardEncoding" => Some(Base::Standard),
            _ => None,
        }
    }

    /// The character of a code. `None`: there is none.
    pub fn char(self, code: u8) -> Option<char> {
        let nth = |table: &str, from: u8| table.chars().nth(usize::from(code - from)).filter(|char| *char != ' ');
        match (self, code) {
            (Base::Dingbats, 33..) => Some('•'),
            (Base::Symbol, b'A'..=b'Z') => nth(SYMBOL_UPPER, b'A'),
            (Base::Symbol, b'a'..=b'z') => nth(SYMBOL_LOWER, b'a'),
            (Base::Symbol, 0x7F..) => symbol_high(code),
            (Base::Standard, b'\'') => Some('’'),
            (Base::Standard, b'`') => Some('‘'),
            (_, 0x20..=0x7E) => Some(char::from(code)),
            (Base::Win, 0x80..=0x9F) => Some(WIN_HIGH[usize::from(code - 0x80)]),
            (Base::Win, 0xA0..) => Some(char::from(code)),
            (Base::Mac, 0x80..) => nth(MAC_HIGH, 0x80),
            (Base::Standard, 0xA0..) => nth(STANDARD_HIGH, 0xA0),
            (_, b'\t' | b'\n' | b'\r') => Some(' '),
            _ => None,
        }
    }
}

fn symbol_high(code: u8) -> Option<char> {
    let char = match code {
        0xA3 => '≤',
        0xA5 => '∞',
        0xAB => '↔',
        0xAC => '←',
        0xAE => '→',
        0xB0 => '°',
        0xB1 => '±',
        0xB3 => '≥',
        0xB4 => '×',
        0xB6 => '∂',
        0xB7 => '•',
        0xB8 => '÷',
        0xB9 => '≠',
        0xBA => '≡',
        0xBB => '≈',
        0xBC => '…',
        0xC6 => '∅',
        0xC7 => '∩',
        0xC8 => '∪',
        0xCC => '⊂',
        0xCE => '∈',
        0xD1 => '∇',
        0xD2 => '®',
        0xD3 => '©',
        0xD4 => '™',
        0xD5 => '∏',
        0xD6 => '√',
        0xD7 => '⋅',
        0xDB => '⇔',
        0xDE => '⇒',
        0xE5 => '∑',
        0xF2 => '∫',
        _ => return None,
    };
    Some(char)
}

/// What a glyph's name stands for: one character, or several where the name joins them (`f_f_i`).
pub fn named(name: &str) -> Option<String> {
    // What follows a dot is a style of the same character.
    let plain = name.split('.').next().filter(|plain| !plain.is_empty())?;
    plain.split('_').map(char_of).collect()
}

fn char_of(name: &str) -> Option<char> {
    let mut chars = name.chars();
    if let (Some(only @ ('a'..='z' | 'A'..='Z')), None) = (chars.next(), chars.next()) {
        return Some(only);
    }
    if let Ok(at) = NAMES.binary_search_by_key(&name, |(known, _)| known) {
        return Some(NAMES[at].1);
    }
    let digits = name
        .strip_prefix("uni")
        .filter(|digits| digits.len() == 4)
        .or_else(|| name.strip_prefix('u').filter(|digits| (4..=6).contains(&digits.len())))?;
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

/// Sorted by name.
#[rustfmt::skip]
const NAMES: [(&str, char); 471] = [
    ("AE", 'Æ'), ("Aacute", 'Á'), ("Abreve", 'Ă'), ("Acircumflex", 'Â'), ("Adieresis", 'Ä'), ("Agrave", 'À'),
    ("Alpha", 'Α'), ("Alphatonos", 'Ά'), ("Amacron", 'Ā'), ("Aogonek", 'Ą'), ("Aring", 'Å'), ("Atilde", 'Ã'),
    ("Beta", 'Β'), ("Cacute", 'Ć'), ("Ccaron", 'Č'), ("Ccedilla", 'Ç'), ("Ccircumflex", 'Ĉ'), ("Ccommaaccent", 'Ç'),
    ("Cdotaccent", 'Ċ'), ("Chi", 'Χ'), ("Dcaron", 'Ď'), ("Dcroat", 'Đ'), ("Delta", 'Δ'), ("Eacute", 'É'),
    ("Ebreve", 'Ĕ'), ("Ecaron", 'Ě'), ("Ecircumflex", 'Ê'), ("Edieresis", 'Ë'), ("Edotaccent", 'Ė'), ("Egrave", 'È'),
    ("Emacron", 'Ē'), ("Eng", 'Ŋ'), ("Eogonek", 'Ę'), ("Epsilon", 'Ε'), ("Epsilontonos", 'Έ'), ("Eta", 'Η'),
    ("Etatonos", 'Ή'), ("Eth", 'Ð'), ("Euro", '€'), ("Gamma", 'Γ'), ("Gbreve", 'Ğ'), ("Gcedilla", 'Ģ'),
    ("Gcircumflex", 'Ĝ'), ("Gcommaaccent", 'Ģ'), ("Gdotaccent", 'Ġ'), ("H18533", '▪'), ("Hbar", 'Ħ'),
    ("Hcircumflex", 'Ĥ'), ("IJ", 'Ĳ'), ("Iacute", 'Í'), ("Ibreve", 'Ĭ'), ("Icircumflex", 'Î'), ("Idieresis", 'Ï'),
    ("Idotaccent", 'İ'), ("Ifraktur", 'ℑ'), ("Igrave", 'Ì'), ("Imacron", 'Ī'), ("Iogonek", 'Į'), ("Iota", 'Ι'),
    ("Iotatonos", 'Ί'), ("Itilde", 'Ĩ'), ("Jcircumflex", 'Ĵ'), ("Kappa", 'Κ'), ("Kcedilla", 'Ķ'),
    ("Kcommaaccent", 'Ķ'), ("Lacute", 'Ĺ'), ("Lambda", 'Λ'), ("Lcaron", 'Ľ'), ("Lcedilla", 'Ļ'),
    ("Lcommaaccent", 'Ļ'), ("Ldot", 'Ŀ'), ("Lslash", 'Ł'), ("Mu", 'Μ'), ("Nacute", 'Ń'), ("Ncaron", 'Ň'),
    ("Ncedilla", 'Ņ'), ("Ncommaaccent", 'Ņ'), ("Ntilde", 'Ñ'), ("Nu", 'Ν'), ("OE", 'Œ'), ("Oacute", 'Ó'),
    ("Obreve", 'Ŏ'), ("Ocircumflex", 'Ô'), ("Odieresis", 'Ö'), ("Ograve", 'Ò'), ("Ohungarumlaut", 'Ő'),
    ("Omacron", 'Ō'), ("Omega", 'Ω'), ("Omegatonos", 'Ώ'), ("Omicron", 'Ο'), ("Omicrontonos", 'Ό'), ("Oslash", 'Ø'),
    ("Otilde", 'Õ'), ("Phi", 'Φ'), ("Pi", 'Π'), ("Psi", 'Ψ'), ("Racute", 'Ŕ'), ("Rcaron", 'Ř'), ("Rcedilla", 'Ŗ'),
    ("Rcommaaccent", 'Ŗ'), ("Rfraktur", 'ℜ'), ("Rho", 'Ρ'), ("Sacute", 'Ś'), ("Scaron", 'Š'), ("Scedilla", 'Ş'),
    ("Scircumflex", 'Ŝ'), ("Scommaaccent", 'Ș'), ("Sigma", 'Σ'), ("Tau", 'Τ'), ("Tbar", 'Ŧ'), ("Tcaron", 'Ť'),
    ("Tcedilla", 'Ţ'), ("Tcommaaccent", 'Ț'), ("Theta", 'Θ'), ("Thorn", 'Þ'), ("Uacute", 'Ú'), ("Ubreve", 'Ŭ'),
    ("Ucircumflex", 'Û'), ("Udieresis", 'Ü'), ("Ugrave", 'Ù'), ("Uhungarumlaut", 'Ű'), ("Umacron", 'Ū'),
    ("Uogonek", 'Ų'), ("Upsilon", 'Υ'), ("Upsilontonos", 'Ύ'), ("Uring", 'Ů'), ("Utilde", 'Ũ'), ("Wcircumflex", 'Ŵ'),
    ("Xi", 'Ξ'), ("Yacute", 'Ý'), ("Ycircumflex", 'Ŷ'), ("Ydieresis", 'Ÿ'), ("Zacute", 'Ź'), ("Zcaron", 'Ž'),
    ("Zdotaccent", 'Ż'), ("Zeta", 'Ζ'), ("aacute", 'á'), ("abreve", 'ă'), ("acircumflex", 'â'), ("acute", '´'),
    ("adieresis", 'ä'), ("ae", 'æ'), ("afii00208", '―'), ("agrave", 'à'), ("aleph", 'ℵ'), ("alpha", 'α'),
    ("alphatonos", 'ά'), ("amacron", 'ā'), ("ampersand", '&'), ("angle", '∠'), ("aogonek", 'ą'), ("approxequal", '≈'),
    ("aring", 'å'), ("arrowboth", '↔'), ("arrowdblboth", '⇔'), ("arrowdblleft", '⇐'), ("arrowdblright", '⇒'),
    ("arrowdown", '↓'), ("arrowleft", '←'), ("arrowright", '→'), ("arrowup", '↑'), ("asciicircum", '^'),
    ("asciitilde", '~'), ("asterisk", '*'), ("asteriskmath", '∗'), ("at", '@'), ("atilde", 'ã'), ("backslash", '\\'),
    ("bar", '|'), ("beta", 'β'), ("braceleft", '{'), ("braceright", '}'), ("bracketleft", '['), ("bracketright", ']'),
    ("breve", '˘'), ("brokenbar", '¦'), ("bullet", '•'), ("cacute", 'ć'), ("caron", 'ˇ'), ("ccaron", 'č'),
    ("ccedilla", 'ç'), ("ccircumflex", 'ĉ'), ("ccommaaccent", 'ç'), ("cdotaccent", 'ċ'), ("cedilla", '¸'),
    ("cent", '¢'), ("checkmark", '✓'), ("chi", 'χ'), ("circle", '○'), ("circlemultiply", '⊗'), ("circleplus", '⊕'),
    ("circumflex", 'ˆ'), ("colon", ':'), ("comma", ','), ("congruent", '≅'), ("copyright", '©'),
    ("copyrightserif", '©'), ("currency", '¤'), ("dagger", '†'), ("daggerdbl", '‡'), ("dcaron", 'ď'), ("dcroat", 'đ'),
    ("degree", '°'), ("delta", 'δ'), ("dieresis", '¨'), ("divide", '÷'), ("dollar", '$'), ("dotaccent", '˙'),
    ("dotlessi", 'ı'), ("dotlessj", 'ȷ'), ("dotmath", '⋅'), ("eacute", 'é'), ("ebreve", 'ĕ'), ("ecaron", 'ě'),
    ("ecircumflex", 'ê'), ("edieresis", 'ë'), ("edotaccent", 'ė'), ("egrave", 'è'), ("eight", '8'),
    ("eightoldstyle", '8'), ("element", '∈'), ("ellipsis", '…'), ("emacron", 'ē'), ("emdash", '—'), ("emptyset", '∅'),
    ("endash", '–'), ("eng", 'ŋ'), ("eogonek", 'ę'), ("epsilon", 'ε'), ("epsilon1", 'ϵ'), ("epsilontonos", 'έ'),
    ("equal", '\u{3d}'), ("equivalence", '≡'), ("estimated", '℮'), ("eta", 'η'), ("etatonos", 'ή'), ("eth", 'ð'),
    ("euro", '€'), ("exclam", '!'), ("exclamdown", '¡'), ("existential", '∃'), ("ff", 'ﬀ'), ("ffi", 'ﬃ'),
    ("ffl", 'ﬄ'), ("fi", 'ﬁ'), ("figuredash", '‒'), ("filledbox", '■'), ("five", '5'), ("fiveoldstyle", '5'),
    ("fl", 'ﬂ'), ("florin", 'ƒ'), ("four", '4'), ("fouroldstyle", '4'), ("foursuperior", '⁴'), ("fraction", '⁄'),
    ("gamma", 'γ'), ("gbreve", 'ğ'), ("gcedilla", 'ģ'), ("gcircumflex", 'ĝ'), ("gcommaaccent", 'ģ'),
    ("gdotaccent", 'ġ'), ("germandbls", 'ß'), ("gradient", '∇'), ("grave", '`'), ("greater", '>'),
    ("greaterequal", '≥'), ("guillemotleft", '«'), ("guillemotright", '»'), ("guilsinglleft", '‹'),
    ("guilsinglright", '›'), ("hbar", 'ħ'), ("hcircumflex", 'ĥ'), ("heart", '♥'), ("horizontalbar", '―'),
    ("hungarumlaut", '˝'), ("hyphen", '-'), ("hyphentwo", '‐'), ("iacute", 'í'), ("ibreve", 'ĭ'),
    ("icircumflex", 'î'), ("idieresis", 'ï'), ("igrave", 'ì'), ("ij", 'ĳ'), ("imacron", 'ī'), ("increment", '∆'),
    ("infinity", '∞'), ("integral", '∫'), ("intersection", '∩'), ("iogonek", 'į'), ("iota", 'ι'), ("iotatonos", 'ί'),
    ("itilde", 'ĩ'), ("jcircumflex", 'ĵ'), ("kappa", 'κ'), ("kcedilla", 'ķ'), ("kcommaaccent", 'ķ'),
    ("kgreenlandic", 'ĸ'), ("lacute", 'ĺ'), ("lambda", 'λ'), ("lcaron", 'ľ'), ("lcedilla", 'ļ'),
    ("lcommaaccent", 'ļ'), ("ldot", 'ŀ'), ("less", '<'), ("lessequal", '≤'), ("logicaland", '∧'), ("logicalnot", '¬'),
    ("logicalor", '∨'), ("longs", 'ſ'), ("lozenge", '◊'), ("lscript", 'ℓ'), ("lslash", 'ł'), ("macron", '¯'),
    ("middot", '·'), ("minus", '−'), ("minute", '′'), ("mu", 'µ'), ("multiply", '×'), ("nabla", '∇'), ("nacute", 'ń'),
    ("napostrophe", 'ŉ'), ("nbspace", '\u{a0}'), ("ncaron", 'ň'), ("ncedilla", 'ņ'), ("ncommaaccent", 'ņ'),
    ("nine", '9'), ("nineoldstyle", '9'), ("nonbreakingspace", '\u{a0}'), ("notelement", '∉'), ("notequal", '≠'),
    ("ntilde", 'ñ'), ("nu", 'ν'), ("numbersign", '#'), ("numero", '№'), ("oacute", 'ó'), ("obreve", 'ŏ'),
    ("ocircumflex", 'ô'), ("odieresis", 'ö'), ("oe", 'œ'), ("ogonek", '˛'), ("ograve", 'ò'), ("ohungarumlaut", 'ő'),
    ("omacron", 'ō'), ("omega", 'ω'), ("omega1", 'ϖ'), ("omegatonos", 'ώ'), ("omicron", 'ο'), ("omicrontonos", 'ό'),
    ("one", '1'), ("onehalf", '½'), ("oneoldstyle", '1'), ("onequarter", '¼'), ("onesuperior", '¹'),
    ("onethird", '⅓'), ("openbullet", '◦'), ("ordfeminine", 'ª'), ("ordmasculine", 'º'), ("oslash", 'ø'),
    ("otilde", 'õ'), ("paragraph", '¶'), ("parenleft", '('), ("parenright", ')'), ("partialdiff", '∂'),
    ("percent", '%'), ("period", '.'), ("periodcentered", '·'), ("perpendicular", '⊥'), ("perthousand", '‰'),
    ("phi", 'φ'), ("phi1", 'ϕ'), ("pi", 'π'), ("plus", '+'), ("plusminus", '±'), ("prime", '′'), ("product", '∏'),
    ("propersubset", '⊂'), ("propersuperset", '⊃'), ("proportional", '∝'), ("psi", 'ψ'), ("question", '?'),
    ("questiondown", '¿'), ("quotedbl", '"'), ("quotedblbase", '„'), ("quotedblleft", '“'), ("quotedblright", '”'),
    ("quoteleft", '‘'), ("quoteright", '’'), ("quotesinglbase", '‚'), ("quotesingle", '\''), ("racute", 'ŕ'),
    ("radical", '√'), ("rcaron", 'ř'), ("rcedilla", 'ŗ'), ("rcommaaccent", 'ŗ'), ("reflexsubset", '⊆'),
    ("reflexsuperset", '⊇'), ("registered", '®'), ("registerserif", '®'), ("rho", 'ρ'), ("ring", '˚'),
    ("sacute", 'ś'), ("scaron", 'š'), ("scedilla", 'ş'), ("scircumflex", 'ŝ'), ("scommaaccent", 'ș'), ("second", '″'),
    ("section", '§'), ("semicolon", ';'), ("seven", '7'), ("sevenoldstyle", '7'), ("sfthyphen", '\u{ad}'),
    ("sigma", 'σ'), ("sigma1", 'ς'), ("similar", '∼'), ("six", '6'), ("sixoldstyle", '6'), ("slash", '/'),
    ("softhyphen", '\u{ad}'), ("space", '\u{20}'), ("square", '□'), ("sterling", '£'), ("summation", '∑'),
    ("tau", 'τ'), ("tbar", 'ŧ'), ("tcaron", 'ť'), ("tcedilla", 'ţ'), ("tcommaaccent", 'ț'), ("therefore", '∴'),
    ("theta", 'θ'), ("theta1", 'ϑ'), ("thorn", 'þ'), ("three", '3'), ("threeoldstyle", '3'), ("threequarters", '¾'),
    ("threesuperior", '³'), ("tilde", '˜'), ("trademark", '™'), ("trademarkserif", '™'), ("two", '2'),
    ("twooldstyle", '2'), ("twosuperior", '²'), ("twothirds", '⅔'), ("uacute", 'ú'), ("ubreve", 'ŭ'),
    ("ucircumflex", 'û'), ("udieresis", 'ü'), ("ugrave", 'ù'), ("uhungarumlaut", 'ű'), ("umacron", 'ū'),
    ("underscore", '_'), ("union", '∪'), ("universal", '∀'), ("uogonek", 'ų'), ("upsilon", 'υ'),
    ("upsilontonos", 'ύ'), ("uring", 'ů'), ("utilde", 'ũ'), ("wcircumflex", 'ŵ'), ("weierstrass", '℘'), ("xi", 'ξ'),
    ("yacute", 'ý'), ("ycircumflex", 'ŷ'), ("ydieresis", 'ÿ'), ("yen", '¥'), ("zacute", 'ź'), ("zcaron", 'ž'),
    ("zdotaccent", 'ż'), ("zero", '0'), ("zerooldstyle", '0'), ("zerosuperior", '⁰'), ("zeta", 'ζ'),
];

/// Widths of `' '` to `'~'` in thousandths of the size, for the fonts every viewer has and files need not describe.
#[rustfmt::skip]
const HELVETICA: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
];
#[rustfmt::skip]
const TIMES: [u16; 95] = [
    250, 333, 408, 500, 500, 833, 778, 180, 333, 333, 500, 564, 250, 333, 250, 278, 500, 500, 500, 500, 500, 500, 500,
    500, 500, 500, 278, 278, 564, 564, 564, 444, 921, 722, 667, 667, 722, 611, 556, 722, 722, 333, 389, 722, 611, 889,
    722, 722, 556, 722, 667, 556, 611, 722, 722, 944, 722, 722, 611, 333, 278, 333, 469, 500, 333, 444, 500, 444, 500,
    444, 333, 500, 500, 278, 278, 500, 278, 778, 500, 500, 500, 500, 333, 389, 278, 500, 500, 722, 500, 500, 444, 480,
    200, 480, 541,
];

/// The width of a code in a font that gives none, in thousandths of the size.
pub fn standard_width(font: &str, code: u8) -> f32 {
    let table = match font {
        font if font.contains("Courier") => return 600.0,
        font if font.contains("Times") => &TIMES,
        _ => &HELVETICA,
    };
    let width = usize::from(code).checked_sub(0x20).and_then(|at| table.get(at)).copied();
    f32::from(width.unwrap_or(556))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_have_the_length_of_what_they_stand_for() {
        assert_eq!((MAC_HIGH.chars().count(), STANDARD_HIGH.chars().count()), (128, 96));
        assert_eq!((SYMBOL_UPPER.chars().count(), SYMBOL_LOWER.chars().count()), (26, 26));
        assert!(NAMES.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn codes_mean_what_their_encoding_says() {
        let read = |base: Base, codes: &[u8]| codes.iter().filter_map(|code| base.char(*code)).collect::<String>();
        assert_eq!(read(Base::Win, b"gr\xFCn \x80"), "grün €");
        assert_eq!(read(Base::Mac, b"gr\x9Fn \xDB\xDE"), "grün €ﬁ");
        assert_eq!(read(Base::Standard, b"it\x27s \xAE\xB7\xFB\xA0\x80"), "it’s ﬁ•ß");
        assert_eq!(read(Base::Symbol, b"ab \xB3"), "αβ ≥");
    }

    #[test]
    fn names_mean_what_they_say_or_spell() {
        let cases = [
            ("A", "A"),
            ("eacute", "é"),
            ("quotedblleft", "“"),
            ("uni20AC", "€"),
            ("u1F600", "😀"),
            ("f_f_i", "ffi"),
            ("one.oldstyle", "1"),
            ("Omega", "Ω"),
        ];
        for (name, text) in cases {
            assert_eq!(named(name).as_deref(), Some(text), "{name}");
        }
        for name in ["", ".notdef", "g12", "cid00012", "uniZZZZ", "uD800"] {
            assert_eq!(named(name), None, "{name}");
        }
    }
}
