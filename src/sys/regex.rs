//! A small regular-expression matcher: is there a match in this line?
//!
//! Knows literals, `.`, classes, `\d \w \s \b` and their opposites, groups, `|`, `* + ? {m,n}`, `^` and `$`. It has no
//! captures, look-around or back-references; lazy repeats are read as plain ones, which finds the same lines.
//!
//! Invariants: time is pattern times line, for every pattern (all states are followed at once); a program has at most
//! [`LARGEST`] steps.

/// A compiled expression.
pub struct Regex {
    program: Vec<Op>,
    ignore_case: bool,
}

#[derive(Clone)]
enum Op {
    Char(char),
    Any,
    Set {
        yes: bool,
        items: Vec<Item>,
    },
    Start,
    End,
    Boundary(bool),
    /// Both ways, relative to this step.
    Split(isize, isize),
    Jump(isize),
    Match,
}

#[derive(Clone, Copy)]
enum Item {
    Range(char, char),
    Class(char),
}

impl Regex {
    /// Compiles; on an error says what is wrong with the pattern.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
        let mut parser = Parser { letters: pattern.chars().collect(), at: 0, depth: 0 };
        let mut program = parser.alternatives().map_err(|what| format!("Pattern {pattern:?}: {what}."))?;
        program.push(Op::Match);
        Ok(Regex { program, ignore_case })
    }

    /// A pattern that means exactly this text.
    pub fn literal(text: &str, ignore_case: bool) -> Regex {
        let program = text.chars().map(Op::Char).chain([Op::Match]).collect();
        Regex { program, ignore_case }
    }

    /// Is there a match anywhere in `line`?
    pub fn is_match(&self, line: &str) -> bool {
        let mut now = Threads::new(self.program.len());
        let mut next = Threads::new(self.program.len());
        let mut before = None;
        let mut letters = line.chars();
        loop {
            let letter = letters.next();
            if self.follow(0, before, letter, &mut now) {
                return true;
            }
            let Some(letter) = letter else { return false };
            let after = letters.clone().next();
            next.clear();
            for index in 0..now.list.len() {
                let step = now.list[index];
                if self.takes(&self.program[step], letter) && self.follow(step + 1, Some(letter), after, &mut next) {
                    return true;
                }
            }
            std::mem::swap(&mut now, &mut next);
            before = Some(letter);
        }
    }

    /// Adds `from` and all steps reached without a letter. True when one is the end of the program.
    fn follow(&self, from: usize, before: Option<char>, after: Option<char>, into: &mut Threads) -> bool {
        let mut waiting = vec![from];
        while let Some(step) = waiting.pop() {
            if !into.mark(step) {
                continue;
            }
            match &self.program[step] {
                Op::Match => return true,
                Op::Jump(by) => waiting.push(step.wrapping_add_signed(*by)),
                Op::Split(one, other) => {
                    waiting.extend([step.wrapping_add_signed(*other), step.wrapping_add_signed(*one)]);
                }
                Op::Start if before.is_none() => waiting.push(step + 1),
                Op::End if after.is_none() => waiting.push(step + 1),
                Op::Boundary(wanted) if (is_word(before) != is_word(after)) == *wanted => waiting.push(step + 1),
                Op::Start | Op::End | Op::Boundary(_) => {}
                Op::Char(_) | Op::Any | Op::Set { .. } => into.list.push(step),
            }
        }
        false
    }

    fn takes(&self, op: &Op, letter: char) -> bool {
        match op {
            Op::Any => true,
            Op::Char(wanted) if self.ignore_case => fold(*wanted) == fold(letter),
            Op::Char(wanted) => *wanted == letter,
            Op::Set { yes, items } => {
                let inside = |c: char| items.iter().any(|item| item.holds(c));
                let found = match self.ignore_case {
                    true => inside(letter) || inside(fold(letter)) || letter.to_uppercase().any(inside),
                    false => inside(letter),
                };
                found == *yes
            }
            _ => false,
        }
    }
}

/// The steps alive at one place of the line.
struct Threads {
    list: Vec<usize>,
    seen: Vec<bool>,
}

impl Threads {
    fn new(steps: usize) -> Threads {
        Threads { list: Vec::new(), seen: vec![false; steps] }
    }

    fn mark(&mut self, step: usize) -> bool {
        !std::mem::replace(&mut self.seen[step], true)
    }

    fn clear(&mut self) {
        self.list.clear();
        self.seen.fill(false);
    }
}

impl Item {
    fn holds(self, letter: char) -> bool {
        match self {
            Item::Range(from, to) => (from..=to).contains(&letter),
            Item::Class('d') => letter.is_numeric(),
            Item::Class('D') => !letter.is_numeric(),
            Item::Class('w') => is_word(Some(letter)),
            Item::Class('W') => !is_word(Some(letter)),
            Item::Class('s') => letter.is_whitespace(),
            Item::Class(_) => !letter.is_whitespace(),
        }
    }
}

fn is_word(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
}

fn fold(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

/// Reads a pattern from the left and writes the program as it goes; all jumps are relative, so pieces can be copied.
struct Parser {
    letters: Vec<char>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    fn eat(&mut self, letter: char) -> bool {
        let found = self.peek() == Some(letter);
        self.at += usize::from(found);
        found
    }

    fn alternatives(&mut self) -> Result<Vec<Op>, String> {
        let mut branches = vec![self.sequence()?];
        while self.eat('|') {
            branches.push(self.sequence()?);
        }
        if self.depth == 0 && self.peek() == Some(')') {
            return Err("a ) without its (".into());
        }
        let mut program = branches.pop().unwrap_or_default();
        while let Some(branch) = branches.pop() {
            let mut both = vec![Op::Split(1, branch.len() as isize + 2)];
            both.extend(branch);
            both.push(Op::Jump(program.len() as isize + 1));
            both.append(&mut program);
            program = fits(both)?;
        }
        Ok(program)
    }

    fn sequence(&mut self) -> Result<Vec<Op>, String> {
        let mut program = Vec::new();
        while let Some(letter) = self.peek().filter(|letter| !['|', ')'].contains(letter)) {
            self.at += 1;
            let piece = self.atom(letter)?;
            program.extend(self.repeated(piece)?);
            program = fits(program)?;
        }
        Ok(program)
    }

    fn atom(&mut self, letter: char) -> Result<Vec<Op>, String> {
        Ok(match letter {
            '.' => vec![Op::Any],
            '^' => vec![Op::Start],
            '$' => vec![Op::End],
            '(' => return self.group(),
            '[' => vec![self.set()?],
            '\\' => vec![self.escape()?],
            '*' | '+' | '?' => return Err(format!("nothing before {letter} to repeat")),
            letter => vec![Op::Char(letter)],
        })
    }

    fn group(&mut self) -> Result<Vec<Op>, String> {
        if self.eat('?') && !self.eat(':') {
            return Err("only (?: ) groups are known, no look-around and no flags".into());
        }
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("groups nested deeper than {DEEPEST}"));
        }
        let inner = self.alternatives()?;
        self.depth -= 1;
        if !self.eat(')') {
            return Err("a ( without its )".into());
        }
        Ok(inner)
    }

    fn escape(&mut self) -> Result<Op, String> {
        let letter = self.peek().ok_or("it ends in a backslash")?;
        self.at += 1;
        Ok(match letter {
            'b' => Op::Boundary(true),
            'B' => Op::Boundary(false),
            'd' | 'D' | 'w' | 'W' | 's' | 'S' => Op::Set { yes: true, items: vec![Item::Class(letter)] },
            letter => Op::Char(plain(letter)?),
        })
    }

    fn set(&mut self) -> Result<Op, String> {
        let yes = !self.eat('^');
        let mut items = Vec::new();
        loop {
            let letter = self.peek().ok_or("a [ without its ]")?;
            self.at += 1;
            if letter == ']' && !items.is_empty() {
                return Ok(Op::Set { yes, items });
            }
            let from = match letter {
                '\\' => match self.member()? {
                    Item::Range(from, _) => from,
                    class => {
                        items.push(class);
                        continue;
                    }
                },
                letter => letter,
            };
            let ranged = self.peek() == Some('-') && self.letters.get(self.at + 1).is_some_and(|next| *next != ']');
            if !ranged {
                items.push(Item::Range(from, from));
                continue;
            }
            self.at += 1;
            let last = self.peek().ok_or("a [ without its ]")?;
            self.at += 1;
            let to = match last {
                '\\' => match self.member()? {
                    Item::Range(to, _) => to,
                    Item::Class(_) => return Err("a class cannot end a range".into()),
                },
                last => last,
            };
            if to < from {
                return Err(format!("the range {from}-{to} is upside down"));
            }
            items.push(Item::Range(from, to));
        }
    }

    /// What follows a backslash inside a set.
    fn member(&mut self) -> Result<Item, String> {
        let letter = self.peek().ok_or("it ends in a backslash")?;
        self.at += 1;
        Ok(match letter {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' => Item::Class(letter),
            letter => plain(letter).map(|letter| Item::Range(letter, letter))?,
        })
    }

    fn repeated(&mut self, mut piece: Vec<Op>) -> Result<Vec<Op>, String> {
        loop {
            let (least, most) = match self.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => match self.bounds()? {
                    Some(bounds) => bounds,
                    None => return Ok(piece),
                },
                _ => return Ok(piece),
            };
            self.at += 1;
            // Lazy or not, the same lines match.
            self.eat('?');
            piece = repeat(&piece, least, most)?;
        }
    }

    /// `{m}`, `{m,}` or `{m,n}`, leaving `at` on the closing brace. `None`: the brace means itself.
    fn bounds(&mut self) -> Result<Option<(usize, Option<usize>)>, String> {
        let rest = &self.letters[self.at + 1..];
        let Some(end) = rest.iter().take(12).position(|letter| *letter == '}') else { return Ok(None) };
        let inner: String = rest[..end].iter().collect();
        let (least, most) = inner.split_once(',').map_or((inner.as_str(), Some(inner.as_str())), |(least, most)| {
            (least, Some(most).filter(|most| !most.is_empty()))
        });
        let (Ok(least), Ok(most)) = (least.parse::<usize>(), most.map(str::parse::<usize>).transpose()) else {
            return Ok(None);
        };
        if most.is_some_and(|most| most < least) {
            return Err(format!("the bounds {{{inner}}} are upside down"));
        }
        if least.max(most.unwrap_or(0)) > MOST_REPEATS {
            return Err(format!("a repeat of more than {MOST_REPEATS}"));
        }
        self.at += end + 1;
        Ok(Some((least, most)))
    }
}

fn repeat(piece: &[Op], least: usize, most: Option<usize>) -> Result<Vec<Op>, String> {
    let length = piece.len() as isize;
    let copies = most.unwrap_or(least + 1);
    if piece.len().saturating_add(1).saturating_mul(copies) > LARGEST {
        return Err(TOO_LARGE.into());
    }
    let mut program: Vec<Op> = std::iter::repeat_n(piece, least).flatten().cloned().collect();
    match most {
        None => {
            program.push(Op::Split(1, length + 2));
            program.extend_from_slice(piece);
            program.push(Op::Jump(-(length + 1)));
        }
        Some(most) => {
            for _ in least..most {
                program.push(Op::Split(1, length + 1));
                program.extend_from_slice(piece);
            }
        }
    }
    fits(program)
}

fn fits(program: Vec<Op>) -> Result<Vec<Op>, String> {
    if program.len() > LARGEST { Err(TOO_LARGE.into()) } else { Ok(program) }
}

/// The character an escape stands for.
fn plain(letter: char) -> Result<char, String> {
    match letter {
        'n' => Ok('\n'),
        'r' => Ok('\r'),
        't' => Ok('\t'),
        letter if letter.is_ascii_alphanumeric() => {
            Err(format!("\\{letter} is not known; to search for text use literal"))
        }
        letter => Ok(letter),
    }
}

/// Steps. One line of 500 characters then costs at most two million of them.
const LARGEST: usize = 4000;
const TOO_LARGE: &str = "it is too large";
/// The parser recurses once per group.
const DEEPEST: usize = 50;
const MOST_REPEATS: usize = 1000;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn expressions_mean_what_people_expect() {
        let table = [
            ("abc", "xabcx", true),
            ("abc", "ab", false),
            ("", "", true),
            ("a.c", "abc", true),
            ("^a", "ba", false),
            ("a$", "ba", true),
            ("^$", "", true),
            ("^$", "a", false),
            ("a*b", "b", true),
            ("^a+b$", "aaab", true),
            ("^a+b$", "b", false),
            ("^ab?c$", "ac", true),
            ("^a{2}$", "aa", true),
            ("^a{2}$", "aaa", false),
            ("^a{2,}$", "aaaa", true),
            ("^a{1,2}$", "aaa", false),
            ("a{x", "a{x", true),
            ("^(ab|cd|e)+$", "abecd", true),
            ("^(ab|cd|e)+$", "abx", false),
            ("(?:a|)b", "b", true),
            (r"\bfn\b", "pub fn x", true),
            (r"\bfn\b", "fnx", false),
            (r"\d{4}-\d\d", "in 2026-11", true),
            (r"^\w+\s\W$", "ab_1 -", true),
            ("[a-c]+x", "bcx", true),
            ("^[^a-c]$", "b", false),
            ("[]a]", "]", true),
            (r"[\d\-]", "-", true),
            ("[a-]", "-", true),
            (r"\.", "a", false),
            ("a.*?b", "a--b", true),
            ("(a*)*b", "aaab", true),
            ("日.語", "日本語", true),
        ];
        for (pattern, line, expected) in table {
            assert_eq!(Regex::new(pattern, false).unwrap().is_match(line), expected, "{pattern} {line}");
        }
    }

    #[test]
    fn case_is_ignored_on_wish() {
        assert!(Regex::new("straSSe", true).unwrap().is_match("STRAsse"));
        assert!(Regex::new("[a-z]", true).unwrap().is_match("Q"));
        assert!(!Regex::new("abc", false).unwrap().is_match("ABC"));
        assert!(Regex::literal("A.c", true).is_match("xa.C"));
        assert!(!Regex::literal("a.c", false).is_match("abc"));
    }

    #[test]
    fn what_is_not_known_is_said() {
        for broken in
            ["(", ")", "a)", "[a", "*a", "a**b(", r"\", r"\1", r"\p{L}", "(?=a)", "a{3,2}", "[z-a]", "a{2000}"]
        {
            assert!(Regex::new(broken, false).is_err(), "{broken}");
        }
        assert!(Regex::new(&"(".repeat(100_000), false).is_err());
        assert!(Regex::new("((a{500}){500}){500}", false).is_err());
    }

    #[test]
    fn patterns_made_to_explode_stay_quick() {
        let start = Instant::now();
        let line = "a".repeat(2000);
        for hard in ["(a*)*b", "(a|a)*b", "(a|aa)+$b", "(.*)(.*)(.*)(.*)b", "a{0,100}a{0,100}b"] {
            assert!(!Regex::new(hard, false).unwrap().is_match(&line), "{hard}");
        }
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
