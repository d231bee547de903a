//! Fonts as far as text needs them: what codes mean, and how far each moves the pen.
//!
//! PDF 32000-1, 9.5 to 9.10. A font's own Unicode table comes first; then its encoding. The font program inside the file
//! is never opened.

use std::collections::HashMap;

use hayro_cmap::{BfString, CMap};
use hayro_syntax::object::{Array, Dict, Name, Number, Object, Stream};

use super::glyphs::{self, Base};

/// A font's Unicode table or code map is not read beyond this many bytes.
const CMAP_BYTES: usize = 4 << 20;

pub struct Font {
    to_unicode: Option<CMap>,
    codes: Codes,
    widths: Widths,
    /// Lines run down the page.
    pub vertical: bool,
}

/// How bytes become codes, and codes characters.
enum Codes {
    /// One byte each; what each means.
    Simple(Box<[Option<Box<str>>; 256]>),
    /// Two bytes each, numbers of glyphs: only the Unicode table knows more.
    Glyphs,
    /// Two bytes each, UTF-16.
    Utf16,
    /// The bytes from 0x81 on lead a pair.
    Mixed,
    /// As the map inside the file says.
    Mapped(Box<CMap>),
}

/// Thousandths of the size.
enum Widths {
    Simple { first: u32, list: Vec<f32>, missing: f32 },
    Standard(String),
    Glyphs { known: HashMap<u32, f32>, default: f32 },
}

/// One code of a shown string.
pub struct Glyph {
    pub text: Option<String>,
    /// Of the size: 0.5 is half an em.
    pub advance: f32,
    /// The single byte 32, which word spacing widens.
    pub is_space: bool,
}

impl Font {
    pub fn read(dict: &Dict<'_>) -> Font {
        let to_unicode = dict.get::<Stream<'_>>(b"ToUnicode").and_then(|stream| cmap(&stream));
        match dict.get::<Name<'_>>(b"Subtype").as_deref() {
            Some(b"Type0") => Font::composite(dict, to_unicode),
            subtype => Font::simple(dict, subtype.unwrap_or_default(), to_unicode),
        }
    }

    fn simple(dict: &Dict<'_>, subtype: &[u8], to_unicode: Option<CMap>) -> Font {
        let name = text(dict.get::<Name<'_>>(b"BaseFont"));
        let descriptor = dict.get::<Dict<'_>>(b"FontDescriptor").unwrap_or_default();
        // A Type 3 font measures in units of its own.
        let unit = match dict.get::<[f32; 6]>(b"FontMatrix") {
            Some(matrix) if subtype == b"Type3" => matrix[0].abs() * 1000.0,
            _ => 1.0,
        };
        let widths = match dict.get::<Array<'_>>(b"Widths") {
            None => Widths::Standard(name.clone()),
            Some(list) => Widths::Simple {
                first: dict.get::<u32>(b"FirstChar").unwrap_or(0),
                list: list.iter::<Number>().take(256).map(|width| width.as_f32() * unit).collect(),
                missing: descriptor.get::<f32>(b"MissingWidth").unwrap_or(0.0),
            },
        };
        let codes = Codes::Simple(Box::new(meanings(dict, subtype, &name)));
        Font { to_unicode, codes, widths, vertical: false }
    }

    fn composite(dict: &Dict<'_>, to_unicode: Option<CMap>) -> Font {
        let (codes, vertical) = match dict.get::<Object<'_>>(b"Encoding") {
            Some(Object::Stream(stream)) => {
                (cmap(&stream).map_or(Codes::Glyphs, |map| Codes::Mapped(Box::new(map))), false)
            }
            Some(Object::Name(name)) => {
                let name = text(Some(name));
                let codes = match name.as_str() {
                    name if name.starts_with("Identity") => Codes::Glyphs,
                    name if name.contains("UCS2") || name.contains("UTF16") => Codes::Utf16,
                    _ => Codes::Mixed,
                };
                (codes, name.ends_with("-V"))
            }
            _ => (Codes::Glyphs, false),
        };
        let below = dict.get::<Array<'_>>(b"DescendantFonts").and_then(|list| list.iter::<Dict<'_>>().next());
        let below = below.unwrap_or_default();
        let known = below.get::<Array<'_>>(b"W").map(|list| glyph_widths(&list)).unwrap_or_default();
        let default = below.get::<f32>(b"DW").unwrap_or(1000.0);
        Font { to_unicode, codes, widths: Widths::Glyphs { known, default }, vertical }
    }

    /// Reads the next code from the front of `bytes`, which are not empty.
    pub fn next(&self, bytes: &mut &[u8]) -> Glyph {
        let (code, length) = self.code(bytes);
        *bytes = &bytes[length.min(bytes.len())..];
        let by_table =
            self.to_unicode.as_ref().and_then(|table| table.lookup_bf_string(code)).map(|found| match found {
                BfString::Char(char) => char.to_string(),
                BfString::String(text) => text,
            });
        let text = by_table.filter(|text| !text.chars().all(|char| char == '\0')).or_else(|| match &self.codes {
            Codes::Simple(meanings) => meanings.get(code as usize)?.as_deref().map(str::to_string),
            Codes::Utf16 => char::from_u32(code).map(String::from),
            Codes::Mixed if length == 1 => char::from_u32(code).filter(char::is_ascii).map(String::from),
            _ => None,
        });
        Glyph { text, advance: self.width(code, length) / 1000.0, is_space: length == 1 && code == 32 }
    }

    /// The code at the front, and its length in bytes.
    fn code(&self, bytes: &[u8]) -> (u32, usize) {
        let number = |length: usize| bytes.iter().take(length).fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        match &self.codes {
            Codes::Simple(_) => (number(1), 1),
            Codes::Mixed if bytes.first().is_some_and(|byte| *byte < 0x81) => (number(1), 1),
            Codes::Glyphs | Codes::Utf16 | Codes::Mixed => (number(2), 2),
            Codes::Mapped(map) => {
                let fits = |length: &u8| map.lookup_cid_code(number(usize::from(*length)), *length).is_some();
                let most = u8::try_from(bytes.len().min(4)).unwrap_or(4);
                let length = usize::from((1..=most).find(fits).unwrap_or(2));
                (number(length), length)
            }
        }
    }

    fn width(&self, code: u32, length: usize) -> f32 {
        match &self.widths {
            Widths::Simple { first, list, missing } => {
                let at = code.checked_sub(*first).and_then(|at| usize::try_from(at).ok());
                at.and_then(|at| list.get(at)).copied().unwrap_or(*missing)
            }
            Widths::Standard(name) => glyphs::standard_width(name, u8::try_from(code).unwrap_or(0)),
            Widths::Glyphs { known, default } => {
                let glyph = match &self.codes {
                    Codes::Mapped(map) => map.lookup_cid_code(code, u8::try_from(length).unwrap_or(4)).unwrap_or(code),
                    _ => code,
                };
                known.get(&glyph).copied().unwrap_or(*default)
            }
        }
    }
}

fn text(name: Option<Name<'_>>) -> String {
    name.map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default()
}

fn cmap(stream: &Stream<'_>) -> Option<CMap> {
    let data = stream.decoded_data().ok().filter(|data| data.len() <= CMAP_BYTES)?;
    CMap::parse(&data, |_| None)
}

/// What each code of a simple font means: its base encoding, changed by its differences.
fn meanings(dict: &Dict<'_>, subtype: &[u8], font: &str) -> [Option<Box<str>>; 256] {
    let encoding = dict.get::<Object<'_>>(b"Encoding");
    let usual = match (font, subtype) {
        (font, _) if font.contains("ZapfDingbats") => Base::Dingbats,
        (font, _) if font.ends_with("Symbol") => Base::Symbol,
        (_, b"TrueType") => Base::Win,
        _ => Base::Standard,
    };
    let named = |name: Option<Name<'_>>| name.and_then(|name| Base::named(&name)).unwrap_or(usual);
    let base = match &encoding {
        Some(Object::Name(name)) => Base::named(name).unwrap_or(usual),
        Some(Object::Dict(dict)) => named(dict.get::<Name<'_>>(b"BaseEncoding")),
        _ => usual,
    };
    let mut meanings = std::array::from_fn(|code| base.char(code as u8).map(|char| char.to_string().into_boxed_str()));
    let differences = match &encoding {
        Some(Object::Dict(dict)) => dict.get::<Array<'_>>(b"Differences"),
        _ => None,
    };
    let mut at = 0;
    for item in differences.iter().flat_map(Array::iter::<Object<'_>>) {
        match item {
            Object::Number(code) => at = usize::try_from(code.as_i64()).unwrap_or(usize::MAX),
            Object::Name(name) => {
                if let Some(meaning) = meanings.get_mut(at) {
                    *meaning = glyphs::named(&text(Some(name))).map(String::into_boxed_str);
                }
                at = at.saturating_add(1);
            }
            _ => {}
        }
    }
    meanings
}

/// `W` of a composite font: `first [w w w]` and `first last w`, mixed.
fn glyph_widths(list: &Array<'_>) -> HashMap<u32, f32> {
    let mut widths = HashMap::new();
    let mut numbers: Vec<f32> = Vec::new();
    for item in list.iter::<Object<'_>>() {
        match item {
            Object::Number(number) => numbers.push(number.as_f32()),
            Object::Array(each) => {
                let first = numbers.pop().unwrap_or(0.0) as u32;
                let each = each.iter::<Number>().take(GLYPHS);
                widths.extend((first..).zip(each.map(|width| width.as_f32())));
                numbers.clear();
            }
            _ => {}
        }
        if let [first, last, width] = numbers[..] {
            let range = (first as u32)..=(last as u32).min(GLYPHS as u32);
            widths.extend(range.map(|glyph| (glyph, width)));
            numbers.clear();
        }
        if widths.len() > GLYPHS {
            break;
        }
    }
    widths
}

/// A font has at most so many glyphs.
const GLYPHS: usize = 65_535;
