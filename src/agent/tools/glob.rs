//! File globs: `*`, `?`, `[a-z]`, `{a,b}`, `**` for any number of directories.
//!
//! Matching takes time in proportion to pattern times path, whatever the pattern: no backtracking over `*`.

use super::Refusal;

/// A compiled glob: one alternative per way through its braces.
pub(super) struct Glob {
    alternatives: Vec<Vec<Step>>,
    /// Without a slash it speaks about the file's name only.
    name_only: bool,
}

enum Step {
    Char(char),
    One,
    Set {
        yes: bool,
        ranges: Vec<(char, char)>,
    },
    /// `*`: anything but a slash.
    Run,
    /// `**`: anything.
    Deep,
    /// `**/`: any number of whole directories.
    Dirs,
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Result<Glob, Refusal> {
        if pattern.is_empty() || pattern.len() > LONGEST {
            return Err(Refusal(format!("A glob needs 1 to {LONGEST} characters.")));
        }
        let pattern = pattern.trim_start_matches("./");
        let mut plain = Vec::new();
        unbrace(pattern, &mut plain)?;
        let alternatives = plain.iter().map(|text| compile(text)).collect();
        Ok(Glob { alternatives, name_only: !pattern.contains('/') })
    }

    /// Does the glob match this path, relative to where the search began and written with slashes?
    pub(super) fn matches(&self, path: &str) -> bool {
        let subject = if self.name_only { path.rsplit('/').next().unwrap_or(path) } else { path };
        let subject: Vec<char> = subject.chars().collect();
        self.alternatives.iter().any(|steps| matches(steps, &subject))
    }
}

/// Expands `{a,b}` from the left; nested braces expand on the way.
fn unbrace(pattern: &str, into: &mut Vec<String>) -> Result<(), Refusal> {
    let mut waiting = vec![pattern.to_owned()];
    while let Some(text) = waiting.pop() {
        if waiting.len() + into.len() > MOST {
            return Err(Refusal(format!("The glob's braces stand for more than {MOST} patterns.")));
        }
        let Some((before, choices, after)) = first_braces(&text) else {
            into.push(text);
            continue;
        };
        waiting.extend(choices.iter().rev().map(|choice| format!("{before}{choice}{after}")));
    }
    Ok(())
}

/// The first whole `{..}` with a comma on its own level.
fn first_braces(text: &str) -> Option<(&str, Vec<&str>, &str)> {
    let open = text.find('{')?;
    let (mut depth, mut from, mut choices) = (0, open + 1, Vec::new());
    for (at, letter) in text.char_indices().skip_while(|(at, _)| *at < open) {
        match letter {
            '{' => depth += 1,
            '}' if depth > 1 => depth -= 1,
            '}' => {
                choices.push(&text[from..at]);
                return Some((&text[..open], choices, &text[at + 1..]));
            }
            ',' if depth == 1 => {
                choices.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    None
}

fn compile(text: &str) -> Vec<Step> {
    let letters: Vec<char> = text.chars().collect();
    let mut steps = Vec::new();
    let mut at = 0;
    while let Some(letter) = letters.get(at) {
        at += 1;
        match letter {
            '*' if letters.get(at) == Some(&'*') => {
                at += 1;
                let bounded = matches!(steps.last(), None | Some(Step::Char('/') | Step::Dirs));
                if bounded && letters.get(at) == Some(&'/') {
                    at += 1;
                    steps.push(Step::Dirs);
                } else {
                    steps.push(Step::Deep);
                }
            }
            '*' => steps.push(Step::Run),
            '?' => steps.push(Step::One),
            '[' => match set(&letters[at..]) {
                Some((step, used)) => {
                    steps.push(step);
                    at += used;
                }
                None => steps.push(Step::Char('[')),
            },
            '\\' if at < letters.len() => {
                steps.push(Step::Char(letters[at]));
                at += 1;
            }
            letter => steps.push(Step::Char(*letter)),
        }
    }
    steps
}

/// The set after a `[`, and how many characters it took with its `]`.
fn set(letters: &[char]) -> Option<(Step, usize)> {
    let negated = matches!(letters.first(), Some('!' | '^'));
    let start = usize::from(negated);
    let end = start + 1 + letters.get(start + 1..)?.iter().position(|letter| *letter == ']')?;
    let mut ranges = Vec::new();
    let mut at = start;
    while at < end {
        let ranged = at + 2 < end && letters[at + 1] == '-';
        let last = if ranged { at + 2 } else { at };
        ranges.push((letters[at], letters[last]));
        at = last + 1;
    }
    Some((Step::Set { yes: !negated, ranges }, end + 1))
}

/// Which prefixes of the subject the steps so far match; every step makes the next row.
fn matches(steps: &[Step], subject: &[char]) -> bool {
    let mut row = vec![false; subject.len() + 1];
    row[0] = true;
    for step in steps {
        let mut next = vec![false; row.len()];
        // Was any prefix up to here matched, without or with slashes since?
        let (mut run, mut deep) = (false, false);
        for at in 0..row.len() {
            let letter = at.checked_sub(1).map(|before| subject[before]);
            let stepped = at > 0 && row[at - 1];
            run = row[at] || (run && letter != Some('/'));
            next[at] = match step {
                Step::Char(wanted) => stepped && letter == Some(*wanted),
                Step::One => stepped && letter != Some('/'),
                Step::Set { yes, ranges } => {
                    let inside = letter.is_some_and(|c| ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)));
                    stepped && letter != Some('/') && inside == *yes
                }
                Step::Run => run,
                Step::Deep => deep || row[at],
                Step::Dirs => row[at] || (deep && letter == Some('/')),
            };
            deep |= row[at];
        }
        row = next;
    }
    row[subject.len()]
}

const LONGEST: usize = 512;
/// Alternatives from braces.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_mean_what_shells_mean() {
        let table = [
            ("*.rs", "src/main.rs", true),
            ("*.rs", "src/main.rsx", false),
            ("src/*.rs", "src/main.rs", true),
            ("src/*.rs", "src/a/main.rs", false),
            ("src/**/*.rs", "src/main.rs", true),
            ("src/**/*.rs", "src/a/b/main.rs", true),
            ("**/a/**", "x/a/y/z", true),
            ("**/a/**", "a/y", true),
            ("**/a/**", "ba/y", false),
            ("/x", "x", false),
            ("a?c", "abc", true),
            ("a?c/d", "a/c/d", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("[x", "[x", true),
            ("*.{md,txt}", "note.txt", true),
            ("*.{md,t{x,s}}", "note.ts", true),
            ("{a", "{a", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("ü*", "über", true),
        ];
        for (glob, path, expected) in table {
            assert_eq!(Glob::new(glob).unwrap().matches(path), expected, "{glob} {path}");
        }
    }

    #[test]
    fn a_glob_made_to_explode_does_not() {
        let hard = Glob::new(&"*a".repeat(200)).unwrap();
        assert!(hard.matches(&"a".repeat(400)));
        assert!(!hard.matches(&"a".repeat(199)));
        assert!(!hard.matches(&("a".repeat(4000) + "b")));
        assert!(Glob::new(&"{a,b}".repeat(20)).is_err());
        assert!(Glob::new(&"x".repeat(1000)).is_err());
    }
}
