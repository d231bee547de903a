//! Fills the texts of `packaging/` and quotes for each language they are written in.
//!
//! Pure. A placeholder is `@NAME@`. Invariant, with a test: every placeholder of every text is filled.

/// Replaces each `@NAME@`. Values are not looked at again: a path that contains a placeholder stays as it is.
pub fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut out = String::with_capacity(template.len() + 256);
    let mut rest = template;
    while let Some(at) = rest.find('@') {
        let after = &rest[at + 1..];
        let found = values.iter().find(|(name, _)| after.strip_prefix(name).is_some_and(|tail| tail.starts_with('@')));
        out.push_str(&rest[..at]);
        match found {
            Some((name, value)) => {
                out.push_str(value);
                rest = &after[name.len() + 1..];
            }
            None => {
                out.push('@');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// A word of a systemd command line: specifiers and variables stay text.
pub fn systemd_word(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('%', "%%").replace('$', "$$");
    if text.contains([' ', '\'', ';', '#']) { format!("\"{text}\"") } else { text }
}

/// An `Environment=` assignment.
pub fn systemd_assignment(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('%', "%%");
    match value.contains([' ', '\'', ';', '#']) {
        true => format!("Environment=\"{name}={value}\""),
        false => format!("Environment={name}={value}"),
    }
}

/// A path of a systemd setting that takes several.
pub fn systemd_path(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('%', "%%");
    if text.contains(' ') { format!("\"{text}\"") } else { text }
}

/// Text of an XML element.
pub fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The reverse of [`xml`].
pub fn from_xml(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
}

/// A word of a POSIX shell.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=,@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Text inside the double quotes of a batch file.
pub fn batch(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_filled_in_once_and_unknown_marks_stay() {
        let values = [("A", "@B@".to_owned()), ("B", "2".to_owned())];
        assert_eq!(fill("x@A@y@B@ a@b @system-service @C@", &values), "x@B@y2 a@b @system-service @C@");
    }

    #[test]
    fn a_word_means_the_same_in_every_language() {
        assert_eq!(systemd_word("/opt/open claw/100%/$x"), "\"/opt/open claw/100%%/$$x\"");
        assert_eq!(systemd_assignment("A", "/a b"), "Environment=\"A=/a b\"");
        assert_eq!(systemd_assignment("A", "/$a%"), "Environment=A=/$a%%");
        assert_eq!(shell_word("/plain/path"), "/plain/path");
        assert_eq!(shell_word("it's $x"), "'it'\\''s $x'");
        assert_eq!(from_xml(&xml("<a & \"b\">")), "<a & \"b\">");
        assert_eq!(batch("100%"), "100%%");
    }
}
