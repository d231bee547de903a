//! The manual page of the configuration file, made from the rows. Only tests use it: the page in the tree must be what
//! comes out here, and `GOLDEN=write` puts it there.

use super::{KEYS, Key, Kind, Reload};

/// The whole page, `openclaw.json(5)`.
fn page() -> String {
    let mut out = String::from(HEAD);
    let mut section = "";
    for key in KEYS {
        let own = key.path.split('.').next().unwrap_or_default();
        if own != section {
            out.push_str(if section.is_empty() { "" } else { ".El\n" });
            section = own;
            out.push_str(&format!(".Ss {}\n.Bl -tag -width Ds\n", escaped(own)));
        }
        out.push_str(&entry(key));
    }
    out.push_str(".El\n");
    out.push_str(TAIL);
    out
}

fn entry(key: &Key) -> String {
    let reload = match key.reload {
        Reload::Nothing => "a running gateway does not use it",
        Reload::Hot => "taken over live",
        Reload::Restart => "needs a restart",
    };
    let default = if key.default.is_empty() { String::new() } else { format!("; default {}", escaped(key.default)) };
    let kind = escaped(&kind(key.kind));
    format!(".It Va {}\n{}\n.br\n({kind}{default}; {reload})\n", escaped(key.path), escaped(key.doc))
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false".into(),
        Kind::Int(from, to) if to >= 9_007_199_254_740_991 => format!("whole number from {from}"),
        Kind::Int(from, to) => format!("whole number from {from} to {to}"),
        Kind::Number(from) => format!("number from {from}"),
        Kind::Text => "text".into(),
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
        Kind::Texts => "list of texts".into(),
        Kind::Secret => "secret: text, ${NAME} or a reference".into(),
        Kind::Reference => "reference to a secret: an object, never the secret itself".into(),
        Kind::TextOrSection => "text or object".into(),
        Kind::TextOrFalse => "text or false".into(),
        Kind::Any => "anything".into(),
    }
}

/// What roff would take for a command of its own.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

const HEAD: &str = r#".\" openclaw.json(5): made from the key table; a test compares them, GOLDEN=write rewrites this file.
.Dd November 25, 2026
.Dt OPENCLAW.JSON 5
.Os
.Sh NAME
.Nm openclaw.json
.Nd configuration of the openclaw gateway
.Sh DESCRIPTION
The file is JSON5: comments, trailing commas, keys without quotes and single
quotes are allowed.
It is
.Pa ~/.openclaw/openclaw.json
unless
.Ev OPENCLAW_CONFIG_PATH ,
.Ev OPENCLAW_STATE_DIR
or a profile says otherwise;
.Sy openclaw config path
prints the one in use.
.Pp
Nothing but
.Sy openclaw config set ,
.Sy unset ,
.Sy patch ,
.Sy restore ,
.Sy openclaw setup
and
.Sy openclaw doctor \-\-fix
writes the file, and those change only what they are told to: comments, order
and layout stay.
The five contents before are beside it, as
.Em openclaw.json.bak
and
.Em openclaw.json.bak.1 No to Em .4 .
.Pp
.Sy $include
takes in another file, or a list of files, at any place.
.Sy ${NAME}
in a text stands for an environment variable; variables are looked for in the
environment, in
.Em .env
of the state directory and in
.Sy env.vars .
A secret may be given as an object
.Brq Em source , provider , id
that says where it is kept.
.Pp
A running gateway follows the file.
What each key needs is said with it; what needs a restart restarts the gateway
unless
.Sy gateway.reload.mode
says otherwise.
A file with a mistake changes nothing in a running gateway, and keeps one from
starting (exit status 78) with every mistake named by file, line and key.
.Pp
Keys of the reference product that are not listed here are accepted, have no
effect, and are named in a warning.
Any other key is a mistake.
.Sh KEYS
In a key,
.Sy *
stands for any name and
.Sy []
for any item of a list.
"#;

const TAIL: &str = r#".Sh SEE ALSO
.Xr openclaw 1 ,
.Xr openclaw\-config 1 ,
.Xr openclaw\-channels 5
"#;

#[test]
fn the_manual_page_is_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/man/openclaw.json.5");
    if std::env::var("GOLDEN").is_ok_and(|word| word == "write") {
        std::fs::write(path, page()).expect("written");
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == page(), "man/openclaw.json.5 is not what the key table says; GOLDEN=write makes it");
}
