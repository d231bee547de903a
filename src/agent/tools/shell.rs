//! A shell command taken apart, as far as that can be done with certainty.
//!
//! Only what means the same to every shell is understood: plain words, quotes, `&&`, `||`, `;`, pipes and line ends.
//! Anything that a shell would replace, redirect, repeat or interpret (`$x`, globs, `~`, `<`, `&`, `(`, here documents,
//! keywords, assignments) makes the whole command opaque: then nobody claims to know which programs it starts.
//!
//! Pure: text in, words out. Nothing is looked up and nothing is run.

/// The programs of a command with their arguments, and what stands between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub segments: Vec<Vec<String>>,
    /// One fewer than `segments`: `&&`, `||`, `|` or `;`.
    pub joints: Vec<&'static str>,
}

/// Takes a command apart. `None`: it is opaque.
pub(crate) fn parse(command: &str) -> Option<Parsed> {
    if command.len() > LONGEST || command.contains(['\0', '\r']) {
        return None;
    }
    let mut parsed = Parsed { segments: Vec::new(), joints: Vec::new() };
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut rest = command.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let into = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        other => into.push(other),
                    }
                }
            }
            '"' => {
                let into = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '"' => break,
                        '$' | '`' | '!' => return None,
                        '\\' => match rest.next()? {
                            // A line that goes on.
                            '\n' => {}
                            escaped @ ('$' | '`' | '"' | '\\') => into.push(escaped),
                            other => into.extend(['\\', other]),
                        },
                        other => into.push(other),
                    }
                }
            }
            '\\' => match rest.next()? {
                '\n' => {}
                other => word.get_or_insert_default().push(other),
            },
            '&' | '|' if rest.peek() == Some(&c) => {
                rest.next();
                close(&mut parsed, &mut words, word.take(), if c == '&' { "&&" } else { "||" })?;
            }
            '|' => close(&mut parsed, &mut words, word.take(), "|")?,
            ';' | '\n' => {
                words.extend(word.take());
                // An empty line, or the end of the command.
                if words.is_empty() && c == '\n' {
                    continue;
                }
                close(&mut parsed, &mut words, None, ";")?;
            }
            '#' if word.is_none() => return None,
            '~' if word.is_none() => return None,
            '$' | '`' | '&' | '<' | '>' | '(' | ')' | '{' | '}' | '[' | ']' | '*' | '?' | '!' => return None,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    if words.is_empty() {
        // `a ;` is complete, `a &&` is not.
        if parsed.joints.pop()? != ";" {
            return None;
        }
    } else {
        parsed.segments.push(words);
    }
    let known = parsed.segments.iter().all(|words| is_program(&words[0]));
    (known && !parsed.segments.is_empty()).then_some(parsed)
}

fn close(parsed: &mut Parsed, words: &mut Vec<String>, last: Option<String>, joint: &'static str) -> Option<()> {
    words.extend(last);
    if words.is_empty() {
        return None;
    }
    parsed.segments.push(std::mem::take(words));
    parsed.joints.push(joint);
    Some(())
}

/// Whether a first word names a program: no assignment, no word of the shell's grammar, nothing that runs its arguments
/// inside the shell itself.
fn is_program(word: &str) -> bool {
    !word.is_empty() && !word.contains('=') && !OWN_WORDS.contains(&word)
}

/// The text of one word for a shell, whatever is in it.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A command longer than this is not looked into.
const LONGEST: usize = 32 << 10;

const OWN_WORDS: [&str; 48] = [
    ".", ":", "[[", "alias", "bg", "bind", "break", "builtin", "caller", "case", "command", "continue", "coproc",
    "declare", "do", "done", "elif", "else", "enable", "esac", "eval", "exec", "exit", "export", "fc", "fg", "fi",
    "for", "function", "hash", "if", "jobs", "let", "local", "mapfile", "readonly", "return", "select", "set",
    "source", "then", "time", "trap", "typeset", "unalias", "unset", "until", "while",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &str) -> Option<Vec<Vec<String>>> {
        parse(command).map(|parsed| parsed.segments)
    }

    fn same(command: &str, segments: &[&[&str]]) {
        let wanted: Vec<Vec<String>> = segments.iter().map(|s| s.iter().map(|w| w.to_string()).collect()).collect();
        assert_eq!(words(command), Some(wanted), "{command}");
    }

    #[test]
    fn quotes_and_escapes_are_a_shell_s() {
        same("echo hi", &[&["echo", "hi"]]);
        same("echo  'a b'\"c d\"e", &[&["echo", "a bc de"]]);
        same(r#"echo "a \"b\" \$c \n" '$x'"#, &[&["echo", r#"a "b" $c \n"#, "$x"]]);
        same(r"echo a\ b ''", &[&["echo", "a b", ""]]);
        same("echo a\\\nb", &[&["echo", "ab"]]);
    }

    #[test]
    fn chains_fall_into_their_programs() {
        same("a 1 && b | c || d; e", &[&["a", "1"], &["b"], &["c"], &["d"], &["e"]]);
        assert_eq!(parse("a && b | c || d; e").expect("plain").joints, ["&&", "|", "||", ";"]);
        same("a\n\n b ;", &[&["a"], &["b"]]);
    }

    #[test]
    fn whatever_a_shell_would_replace_or_redirect_is_opaque() {
        let opaque = [
            "echo $HOME",
            "echo `id`",
            "echo $(id)",
            "echo \"$x\"",
            "a > f",
            "a < f",
            "a 2>&1",
            "a &",
            "(a)",
            "{ a; }",
            "ls *.txt",
            "ls a?",
            "ls [ab]",
            "cat ~/x",
            "x=1 a",
            "if a; then b; fi",
            "eval a",
            "exec a",
            ". ./a",
            "a &&",
            "a | | b",
            "&& a",
            "",
            "   ",
            "echo 'open",
            "echo \"open",
            "a \\",
            "a # b",
            "! a",
            "a;;b",
            "command rm x",
            "a\rb",
        ];
        for command in opaque {
            assert_eq!(words(command), None, "{command:?}");
        }
    }

    #[test]
    fn a_quoted_word_reads_as_itself() {
        for word in ["plain", "it's", "$(id)", "a b\n", "", "\\"] {
            same(&format!("echo {}", quote(word)), &[&["echo", word]]);
        }
    }
}
