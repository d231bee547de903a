//! The manual pages of the commands against the tables they describe: every command has its section on the page of its
//! family, every flag its item there, and nothing is described that does not exist. `GOLDEN=write` adds what is missing,
//! in the words of `--help`; the prose around it is written by hand and stays.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

use super::args::Cli;
use super::argv::DEFAULTS;
use super::tests::leaves;

/// The section of `openclaw(1)` with the flags that most commands share.
const SHARED: &str = "Flags that choose a gateway";
const GLOBAL: &str = "Flags before or after the command";
const ABOUT: &str = "a test compares it with the program's own tables; GOLDEN=write adds what is missing.";
/// The date of a page that is made; whoever writes prose into it changes it.
const DATE: &str = "November 25, 2026";

/// A page, cut at its `.Ss` lines.
struct Page {
    path: PathBuf,
    head: String,
    /// Heading and text of each section.
    sections: Vec<(String, String)>,
    /// From the first `.Sh` after the sections on.
    tail: String,
}

impl Page {
    /// The page of a command of the first level, or `openclaw(1)`; as it would begin when it is not there.
    fn of(family: Option<&CommandInfoWithArgs>) -> Page {
        let name = family.map_or_else(|| "openclaw".to_owned(), |family| format!("openclaw-{}", family.name));
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/man")).join(format!("{name}.1"));
        let text = fs::read_to_string(&path).unwrap_or_else(|_| family.map_or_else(String::new, begin));
        let (head, rest) = text.split_once("\n.Ss ").map_or_else(
            || {
                let (head, tail) = text.split_once("\n.Sh SEE ALSO").expect("a page ends with SEE ALSO");
                (head.to_owned(), format!("\n.Sh SEE ALSO{tail}"))
            },
            |(head, rest)| (head.to_owned(), format!("\n.Ss {rest}")),
        );
        let end = rest.rfind("\n.Ss ").map_or(0, |last| last + 1);
        let end = end + rest[end..].find("\n.Sh ").expect("a page ends with SEE ALSO");
        let sections = rest[..end].split("\n.Ss ").skip(1);
        let sections = sections.map(|section| section.split_once('\n').unwrap_or((section, "")));
        let sections = sections.map(|(name, text)| (name.replace("\\-", "-"), format!("{text}\n"))).collect();
        Page { path, head, sections, tail: rest[end..].to_owned() }
    }

    fn section(&self, name: &str) -> Option<&str> {
        self.sections.iter().find(|(head, _)| head == name).map(|(_, text)| text.as_str())
    }

    fn flags(&self, name: &str) -> Vec<String> {
        self.section(name).map(flags_in).unwrap_or_default()
    }

    /// Adds a section after those of the commands before it.
    fn add(&mut self, words: &str, command: &CommandInfoWithArgs) {
        let mut text = sentence(command.description);
        if let Some((family, _)) = DEFAULTS.iter().find(|(family, word)| format!("{family} {word}") == words) {
            let _ = write!(text, "This is also what\n.Sy openclaw {family}\ndoes.\n");
        }
        if !command.positionals.is_empty() {
            text.push_str(".Bl -tag -width Ds\n");
            for word in command.positionals {
                let _ = write!(text, ".It Ar {}\n{}", escaped(word.name), sentence(word.description));
            }
            text.push_str(".El\n");
        }
        self.sections.push((words.to_owned(), text));
    }

    fn add_flag(&mut self, words: &str, flag: &FlagInfo) {
        let value = match flag.kind {
            FlagInfoKind::Option { arg_name } => format!(" Ar {}", escaped(arg_name)),
            FlagInfoKind::Switch => String::new(),
        };
        let short = flag.short.map(|short| format!("{short} , Fl ")).unwrap_or_default();
        let long = escaped(flag.long.trim_start_matches("--"));
        let item = format!(".It Fl {short}Fl {long}{value}\n{}", sentence(flag.description));
        let (_, text) = self.sections.iter_mut().find(|(head, _)| head == words).expect("its section was made");
        match text.rfind(".El\n").filter(|_| text.contains(".It Fl")) {
            Some(end) => text.insert_str(end, &item),
            None => *text += &format!(".Bl -tag -width Ds\n{item}.El\n"),
        }
    }

    fn text(&self) -> String {
        let mut text = self.head.clone();
        for (name, section) in &self.sections {
            let _ = write!(text, "\n.Ss {}\n{}", escaped(name), section.trim_end_matches('\n'));
        }
        text + &self.tail
    }
}

/// A page with nothing in it yet.
fn begin(family: &CommandInfoWithArgs) -> String {
    let name = escaped(family.name);
    let positionals = family.positionals.iter().map(|word| match word.optionality {
        Optionality::Required => format!(".Ar {}\n", escaped(word.name)),
        _ => format!(".Op Ar {}\n", escaped(word.name)),
    });
    let words = if family.commands.is_empty() { positionals.collect() } else { ".Op Ar command\n".to_owned() };
    format!(
        ".\\\" openclaw-{}(1): {ABOUT}\n.Dd {DATE}\n.Dt OPENCLAW-{} 1\n.Os\n.Sh NAME\n.Nm openclaw\\-{name}\n.Nd {}\n\
         .Sh SYNOPSIS\n.Nm openclaw {name}\n{words}.Op Ar flags\n.Sh COMMANDS\n.Sh SEE ALSO\n.Xr openclaw 1\n",
        family.name,
        family.name.to_uppercase(),
        escaped(without_remark(family.description)),
    )
}

/// `(without a further word: list)` is for `--help`.
fn without_remark(text: &str) -> &str {
    text.split(" (without").next().unwrap_or(text)
}

fn sentence(text: &str) -> String {
    let text = escaped(text);
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.\n", letters.as_str().trim_end_matches('.'))
}

/// What roff would take for a command of its own.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// The flags in a piece of a page, as they are typed.
fn flags_in(page: &str) -> Vec<String> {
    let page = page.replace("\\-", "-");
    let starts = page.match_indices("Fl Fl ");
    let flags = starts.map(|(at, mark)| {
        let letters = page[at + mark.len()..].chars();
        let name: String = letters.take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        format!("--{name}")
    });
    flags.collect()
}

#[test]
fn the_manual_pages_are_what_the_tables_say() {
    let write = std::env::var("GOLDEN").is_ok_and(|word| word == "write");
    let mut wrong = Vec::new();
    let root = Cli::get_args_info();
    let main = Page::of(None);
    let shared = main.flags(SHARED);
    let mut known: Vec<String> = root.flags.iter().map(|flag| flag.long.to_owned()).collect();
    wrong.extend(known.iter().filter(|flag| !main.flags(GLOBAL).contains(flag)).map(|f| format!("openclaw(1): {f}")));
    for family in &root.commands {
        let mut page = Page::of(Some(&family.command));
        let mut words_of_family = Vec::new();
        for (words, command) in leaves().iter().filter(|(words, _)| words.split(' ').next() == Some(family.name)) {
            words_of_family.push(words.clone());
            if page.section(words).is_none() {
                wrong.push(format!("no section: {words}"));
                page.add(words, command);
            }
            let own = page.flags(words);
            for flag in command.flags.iter().filter(|flag| flag.long != "--help") {
                known.push(flag.long.to_owned());
                let named = |flags: &[String]| flags.iter().any(|name| name == flag.long);
                if !named(&own) && !named(&shared) {
                    wrong.push(format!("no item: {words} {}", flag.long));
                    page.add_flag(words, flag);
                }
            }
            let exists = |name: &String| command.flags.iter().chain(root.flags).any(|flag| flag.long == name);
            wrong.extend(own.iter().filter(|name| !exists(name)).map(|name| format!("there is no {words} {name}")));
        }
        let left = page.sections.iter().map(|(head, _)| head).filter(|head| head.starts_with(family.name));
        wrong.extend(left.filter(|head| !words_of_family.contains(head)).map(|head| format!("there is no {head}")));
        let command = format!("\n.It Cm {}\n", escaped(family.name));
        if !main.head.contains(&command) {
            wrong.push(format!("openclaw(1) does not list {} (by hand)", family.name));
        }
        if write && page.text() != fs::read_to_string(&page.path).unwrap_or_default() {
            fs::write(&page.path, page.text()).expect("written");
        }
    }
    let text = main.text();
    wrong.extend(flags_in(&text).iter().filter(|flag| !known.contains(flag)).map(|f| format!("no command has {f}")));
    assert!(
        wrong.is_empty(),
        "man/ is not what the tables say; GOLDEN=write adds sections and items:\n{}",
        wrong.join("\n")
    );
}
