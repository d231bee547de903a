//! The text of a page, in the order it is drawn.
//!
//! PDF 32000-1, 9.4. Words and lines are not in a file, places are: a gap along the line becomes a space, a step off the
//! line a new line, a wide one a paragraph. Drawn order is nearly always reading order; columns are not looked for.

use std::collections::HashMap;
use std::rc::Rc;

use hayro_syntax::content::{Instruction, UntypedIter};
use hayro_syntax::object::{Array, Dict, Name, Object, ObjectIdentifier, Stream};
use hayro_syntax::page::{Page, Resources};

use super::fonts::Font;

/// Forms inside forms.
const DEPTH: usize = 12;
/// Saved states of one content stream.
const SAVED: usize = 256;
/// A gap of so much of the size is a space.
const GAP: f32 = 0.18;
/// A step off the line of so much of the size is a new line.
const STEP: f32 = 0.5;
/// And of so much a paragraph.
const PARAGRAPH: f32 = 1.9;

/// Reads pages one after another into one text.
pub struct Reader {
    fonts: HashMap<ObjectIdentifier, Rc<Font>>,
    pub out: String,
    /// Characters still wanted.
    left: usize,
    /// Glyphs that nothing in the file gives a meaning to.
    pub unknown: usize,
}

type Matrix = [f32; 6];
const IDENTITY: Matrix = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];

/// `first`, then `second`.
fn then(first: Matrix, second: Matrix) -> Matrix {
    let [a, b, c, d, e, f] = first;
    let [g, h, i, j, k, l] = second;
    [a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + l]
}

#[derive(Clone)]
struct Look {
    ctm: Matrix,
    font: Option<Rc<Font>>,
    size: f32,
    char_space: f32,
    word_space: f32,
    stretch: f32,
    leading: f32,
}

/// Where the pen was left, and how big the last glyph was.
#[derive(Clone, Copy)]
struct Pen {
    x: f32,
    y: f32,
    size: f32,
}

struct Walk<'r> {
    reader: &'r mut Reader,
    look: Look,
    saved: Vec<Look>,
    text: Matrix,
    line: Matrix,
    pen: Option<Pen>,
    /// Marked content: true where its replacement was told and what is drawn in it is not.
    marked: Vec<bool>,
}

impl Reader {
    /// `chars`: most characters of text.
    pub fn new(chars: usize) -> Reader {
        Reader { fonts: HashMap::new(), out: String::new(), left: chars, unknown: 0 }
    }

    pub fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Adds the text of a page.
    pub fn page(&mut self, page: &Page<'_>) {
        let look =
            Look { ctm: IDENTITY, font: None, size: 1.0, char_space: 0.0, word_space: 0.0, stretch: 1.0, leading: 0.0 };
        let mut walk = Walk {
            reader: self,
            look,
            saved: Vec::new(),
            text: IDENTITY,
            line: IDENTITY,
            pen: None,
            marked: Vec::new(),
        };
        walk.all(page.operations(), page.resources(), 0);
    }

    /// Two line ends between pages and paragraphs, one between lines, never more.
    pub fn line_ends(&mut self, count: usize) {
        let trimmed = self.out.trim_end_matches([' ', '\n']).len();
        if trimmed == 0 {
            return self.out.clear();
        }
        let has = self.out[trimmed..].bytes().filter(|byte| *byte == b'\n').count();
        self.out.truncate(trimmed);
        self.out.extend(std::iter::repeat_n('\n', count.max(has)));
    }

    fn push(&mut self, text: &str) {
        for char in text.chars() {
            match char {
                '\u{ad}' | '\u{fffe}' | '\u{feff}' => {}
                'ﬀ' => self.push("ff"),
                'ﬁ' => self.push("fi"),
                'ﬂ' => self.push("fl"),
                'ﬃ' => self.push("ffi"),
                'ﬄ' => self.push("ffl"),
                char if char.is_whitespace() => self.space(),
                char if char.is_control() => {}
                char if self.left > 0 => {
                    self.left -= 1;
                    self.out.push(char);
                }
                _ => return,
            }
        }
    }

    fn space(&mut self) {
        if self.left > 0 && !self.out.is_empty() && !self.out.ends_with([' ', '\n']) {
            self.left -= 1;
            self.out.push(' ');
        }
    }
}

impl Walk<'_> {
    fn all(&mut self, mut instructions: UntypedIter<'_>, resources: &Resources<'_>, depth: usize) {
        let floor = self.saved.len();
        while let Some(instruction) = instructions.next() {
            if self.reader.is_full() {
                break;
            }
            self.one(&instruction, resources, depth, floor);
        }
        self.saved.truncate(floor);
    }

    fn one(&mut self, instruction: &Instruction<'_, '_>, resources: &Resources<'_>, depth: usize, floor: usize) {
        let numbers = || {
            let mut list = [0.0; 6];
            for (slot, object) in list.iter_mut().zip(instruction.operands()) {
                if let Object::Number(number) = object {
                    *slot = number.as_f32();
                }
            }
            list
        };
        let nth = |at: usize| instruction.operands().nth(at);
        match &instruction.operator[..] {
            b"q" if self.saved.len() < floor + SAVED => self.saved.push(self.look.clone()),
            b"Q" if self.saved.len() > floor => self.look = self.saved.pop().unwrap_or_else(|| self.look.clone()),
            b"cm" => self.look.ctm = then(numbers(), self.look.ctm),
            b"BT" => (self.text, self.line) = (IDENTITY, IDENTITY),
            b"Tc" => self.look.char_space = numbers()[0],
            b"Tw" => self.look.word_space = numbers()[0],
            b"Tz" => self.look.stretch = numbers()[0] / 100.0,
            b"TL" => self.look.leading = numbers()[0],
            b"Tf" => {
                if let (Some(Object::Name(name)), Some(Object::Number(size))) = (nth(0), nth(1)) {
                    self.look.font = self.font(name, resources);
                    self.look.size = size.as_f32();
                }
            }
            b"Tm" => (self.text, self.line) = (numbers(), numbers()),
            b"Td" => self.next_line(numbers()[0], numbers()[1]),
            b"TD" => {
                self.look.leading = -numbers()[1];
                self.next_line(numbers()[0], numbers()[1]);
            }
            b"T*" => self.next_line(0.0, -self.look.leading),
            b"Tj" | b"'" | b"\"" => {
                if instruction.operator[..] != *b"Tj" {
                    self.next_line(0.0, -self.look.leading);
                }
                let last = instruction.operands().last();
                if instruction.operator[..] == *b"\"" {
                    (self.look.word_space, self.look.char_space) = (numbers()[0], numbers()[1]);
                }
                if let Some(Object::String(string)) = last {
                    self.show(string.as_bytes());
                }
            }
            b"TJ" => {
                if let Some(Object::Array(array)) = nth(0) {
                    self.show_all(array);
                }
            }
            b"Do" => {
                if let Some(Object::Name(name)) = nth(0) {
                    self.form(name, resources, depth);
                }
            }
            b"BMC" => self.marked.push(false),
            b"BDC" => self.begin_marked(nth(1), resources),
            b"EMC" => {
                self.marked.pop();
            }
            _ => {}
        }
    }

    fn font(&mut self, name: &Name<'_>, resources: &Resources<'_>) -> Option<Rc<Font>> {
        let dict = resources.get_font(name)?;
        let Some(id) = dict.obj_id() else { return Some(Rc::new(Font::read(&dict))) };
        Some(self.reader.fonts.entry(id).or_insert_with(|| Rc::new(Font::read(&dict))).clone())
    }

    fn next_line(&mut self, x: f32, y: f32) {
        self.line = then([1.0, 0.0, 0.0, 1.0, x, y], self.line);
        self.text = self.line;
    }

    fn form(&mut self, name: &Name<'_>, resources: &Resources<'_>, depth: usize) {
        let Some(stream) = resources.get_x_object(name).filter(|_| depth < DEPTH) else { return };
        let dict: &Dict<'_> = stream.dict();
        if dict.get::<Name<'_>>(b"Subtype").as_deref() != Some(b"Form") {
            return;
        }
        let Ok(data) = Stream::decoded_data(&stream) else { return };
        let own = dict.get::<Dict<'_>>(b"Resources").map(Resources::new);
        let (look, text, line) = (self.look.clone(), self.text, self.line);
        if let Some(matrix) = dict.get::<[f32; 6]>(b"Matrix") {
            self.look.ctm = then(matrix, self.look.ctm);
        }
        self.all(UntypedIter::new(&data), own.as_ref().unwrap_or(resources), depth + 1);
        (self.look, self.text, self.line) = (look, text, line);
    }

    fn begin_marked(&mut self, properties: Option<&Object<'_>>, resources: &Resources<'_>) {
        let replaced = match properties {
            Some(Object::Dict(dict)) => dict.get::<Object<'_>>(b"ActualText"),
            Some(Object::Name(name)) => {
                resources.properties.get::<Dict<'_>>(name).and_then(|dict| dict.get::<Object<'_>>(b"ActualText"))
            }
            _ => None,
        };
        let Some(Object::String(text)) = replaced else { return self.marked.push(false) };
        if !self.is_replaced() {
            self.place();
            self.reader.push(&text_string(text.as_bytes()));
        }
        self.marked.push(true);
    }

    fn is_replaced(&self) -> bool {
        self.marked.contains(&true)
    }

    fn show_all(&mut self, array: &Array<'_>) {
        for item in array.iter::<Object<'_>>() {
            match item {
                Object::String(string) => self.show(string.as_bytes()),
                Object::Number(back) => self.advance(-back.as_f32() / 1000.0 * self.look.size),
                _ => {}
            }
        }
    }

    fn show(&mut self, mut bytes: &[u8]) {
        let Some(font) = self.look.font.clone() else { return };
        while !bytes.is_empty() && !self.reader.is_full() {
            let glyph = font.next(&mut bytes);
            if !self.is_replaced() {
                match &glyph.text {
                    Some(text) => {
                        self.place();
                        self.reader.push(text);
                    }
                    None => self.reader.unknown += 1,
                }
            }
            let word = if glyph.is_space { self.look.word_space } else { 0.0 };
            let advance = if font.vertical { -1.0 } else { glyph.advance };
            self.advance(advance * self.look.size + self.look.char_space + word);
            let matrix = self.matrix();
            self.pen = Some(Pen { x: matrix[4], y: matrix[5], size: self.height(matrix) });
        }
    }

    fn advance(&mut self, by: f32) {
        let vertical = self.look.font.as_ref().is_some_and(|font| font.vertical);
        let (x, y) = if vertical { (0.0, by) } else { (by * self.look.stretch, 0.0) };
        self.text = then([1.0, 0.0, 0.0, 1.0, x, y], self.text);
    }

    fn matrix(&self) -> Matrix {
        then(self.text, self.look.ctm)
    }

    /// The size of a glyph on the page.
    fn height(&self, matrix: Matrix) -> f32 {
        (self.look.size * matrix[2].hypot(matrix[3])).abs()
    }

    /// What lies between the last glyph and the one that is drawn now.
    fn place(&mut self) {
        let matrix = self.matrix();
        let size = self.height(matrix);
        let Some(pen) = self.pen else { return };
        let size = size.min(pen.size).max(f32::MIN_POSITIVE);
        let vertical = self.look.font.as_ref().is_some_and(|font| font.vertical);
        let (x, y) = if vertical { (-matrix[2], -matrix[3]) } else { (matrix[0], matrix[1]) };
        let length = x.hypot(y).max(f32::MIN_POSITIVE);
        let (dx, dy) = (matrix[4] - pen.x, matrix[5] - pen.y);
        let (along, off) = ((dx * x + dy * y) / length, (dy * x - dx * y) / length);
        match off.abs() {
            off if off > PARAGRAPH * pen.size => self.reader.line_ends(2),
            off if off > STEP * size => self.reader.line_ends(1),
            // Back to where something stands already: a heading drawn twice, a table's next row on the same line.
            _ if along < -2.0 * size => self.reader.line_ends(1),
            _ if along > GAP * size => self.reader.space(),
            _ => {}
        }
        // A replacement has no pen of its own: what follows it is measured from here.
        self.pen = Some(Pen { x: matrix[4], y: matrix[5], size: self.height(matrix) });
    }
}

/// A text string: UTF-16 with its mark, UTF-8 with its mark, or nearly Latin-1 (PDF 32000-1, 7.9.2.2).
fn text_string(bytes: &[u8]) -> String {
    match bytes {
        [0xFE, 0xFF, rest @ ..] => {
            let units: Vec<u16> = rest.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}
